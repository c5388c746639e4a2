"""The command line called in this process, and a small run to call it on."""

import io
import shutil
import sys
from pathlib import Path

import pytest

from everlong.cli import main
from tests.cli.support import CLI, TEXT, Ending, train_encoder_words, train_words


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CLI:
    def run(*words: object, stdin: bytes = b"") -> Ending:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        capsys.readouterr()
        code: object = 0
        try:
            main([str(word) for word in words])
        except SystemExit as end:
            code = end.code or 0
        captured = capsys.readouterr()
        assert isinstance(code, int)
        return Ending(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "book.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def trained_once(book: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in train_words(book, out)])
    assert end.value.code in (0, None)
    return out


@pytest.fixture(scope="session")
def encoder_run(book: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a tiny encoder that no test changes."""
    out = tmp_path_factory.mktemp("runs") / "encoder"
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in train_encoder_words(book, out)])
    assert end.value.code in (0, None)
    return out


@pytest.fixture
def trained(trained_once: Path, tmp_path: Path) -> Path:
    """A run of twelve steps, for one test to do with as it likes."""
    return Path(shutil.copytree(trained_once, tmp_path / "run"))
