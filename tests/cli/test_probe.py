"""``everlong probe`` on tiny runs: pictures, figures, and refusals in one sentence."""

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest

from everlong.cli import main
from tests.cli.support import CLI

SIZES = ["d_model=8", "memory_slots=5", "slot_size=3", "save_every=0", "eval_every=0", "eval_sequences=2"]


def train(*words: object) -> None:
    sizes = [word for size in SIZES for word in ("--set", size)]
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in ("train", *words, "--steps", 2, "--lanes", 2, *sizes)])
    assert end.value.code in (0, None)


@pytest.fixture(scope="module")
def copying_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "copy"
    train("ntm", "--task", "copy", "--out", out, "--set", "max_length=3", "--set", "n_reads=2")
    return out


@pytest.fixture
def copying(copying_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(copying_once, tmp_path / "run"))


@pytest.fixture(scope="module")
def reading(book: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a DNC that read text, which no test changes."""
    out = tmp_path_factory.mktemp("runs") / "text"
    train("dnc", "--data", book, "--out", out, "--chunk", 8)
    return out


def test_a_picture_is_left_in_the_run(cli: CLI, copying: Path) -> None:
    ended = cli("probe", copying)
    assert (ended.code, ended.out) == (0, "")
    assert "copy, length 3, sequence 0: " in ended.err
    assert "of 24 bits wrong; " in ended.err
    assert "of 3 answers addressed right" in ended.err
    assert f"look at {copying / 'probe.svg'}" in ended.err
    assert (copying / "probe.svg").read_text().count("read weights, head") == 2


def test_figures_alone_draw_nothing(cli: CLI, copying: Path) -> None:
    ended = cli("probe", copying, "--json", "--examples", 2, "--seed", 5, "--set", "task.max_length=6")
    found = ended.answer
    assert ended.err == ""
    assert not (copying / "probe.svg").exists()
    assert {name: found[name] for name in ("run", "model", "task", "picture")} == {
        "run": str(copying),
        "model": "ntm",
        "task": "copy",
        "picture": None,
    }
    assert [sequence["name"] for sequence in found["sequences"]] == [
        "copy, length 6, sequence 5",
        "copy, length 6, sequence 6",
    ]
    first: dict[str, Any] = found["sequences"][0]
    assert (first["steps"], first["n_bits"], first["n_shown"]) == (13, 48, 6)
    assert 0 <= first["n_addressed_right"] <= 6
    assert (len(first["writes"]), len(first["reads"])) == (1, 2)
    for head in first["writes"] + first["reads"]:
        assert {name: len(values) for name, values in head.items()} == {"slot": 13, "weight": 13, "sharpness": 13}
        assert all(0 <= slot < 5 for slot in head["slot"])
        assert all(0 < value <= 1.000001 for name in ("weight", "sharpness") for value in head[name])


def test_figures_and_a_picture(cli: CLI, copying: Path, tmp_path: Path) -> None:
    ended = cli("probe", copying, "--json", "--out", tmp_path / "p.png", "--set", "model.memory_slots=5")
    assert ended.answer["picture"] == str(tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_a_text_is_read_token_by_token(cli: CLI, reading: Path, book: Path, tmp_path: Path) -> None:
    words = ["probe", reading, "--json"]
    (told,) = cli(*words, "--prompt", "a b").answer["sequences"]
    assert (told["name"], told["tokens"]) == ("prompt, 3 tokens", ["a", "␣", "b"])
    (tmp_path / "second.txt").write_text("second")
    files = [book, tmp_path / "second.txt", book]
    found = cli(*words, "--examples", 2, "--limit", 4, "--data", *files).answer["sequences"]
    assert [traced["tokens"] for traced in found] == [["J", "i", "m", "␣"], ["s", "e", "c", "o"]]
    wider = cli(*words, "--prompt", "abc" * 9, "--set", "memory_slots=40", "--out", tmp_path / "p.html").answer
    assert max(wider["sequences"][0]["writes"][0]["slot"]) > 5
    assert "<svg" in (tmp_path / "p.html").read_text()


def test_what_cannot_be_probed_is_refused(cli: CLI, copying: Path, reading: Path, book: Path, tmp_path: Path) -> None:
    cli("probe", copying, "--prompt", "a").require_refusal(
        "learned task=copy, whose probe has no use for --prompt: it is generated and reads no text. Leave that out."
    )
    cli("probe", copying, "--data", book, "--limit", 3).require_refusal("no use for --data, --limit")
    cli("probe", reading, "--prompt", "a", "--seed", 3).require_refusal("no use for --seed: the text is read token by")
    cli("probe", copying, "--set", "task.bits=4").require_refusal("task=copy shows vectors of 5 numbers")
    cli("probe", copying, "--set", "max_length=0").require_refusal("max_length = 0 does not fit")
    cli("probe", copying, "--set", "memory_slots=9").require_refusal("changes the weights of this ntm")
    cli("probe", copying, "--out", tmp_path / "a.gif").require_refusal("a.gif is no picture that can be drawn")
    cli("probe", copying, "--out", tmp_path / "no" / "a.svg").require_refusal("cannot write")
    cli("probe", reading).require_refusal("give the run, which learned from text, one text to read")
    cli("probe", reading, "--prompt", "").require_refusal("one text to read")
    cli("probe", reading, "--prompt", "a", "--data", book).require_refusal("one text to read")
    cli("probe", reading, "--prompt", "\udcff").require_refusal("half a character")
    cli("probe", reading, "--data", tmp_path / "no.txt").require_refusal("there is no file or folder")
    cli("probe", reading, "--prompt", "a", "--set", "max_length=4").require_refusal("no setting 'max_length'")
    cli("probe", tmp_path / "no").require_refusal("is no architecture, and there is no folder")
    assert cli("probe", copying, "--examples", 0).code == 2


def test_models_without_a_matrix_are_refused(cli: CLI, trained: Path, encoder_run: Path) -> None:
    for run, name in ((trained, "transformer-xl"), (encoder_run, "bert")):
        ended = cli("probe", run, "--prompt", "Jim")
        ended.require_refusal(
            f"{name} has no matrix in which it writes and reads, as dnc, mann, ntm have", "everlong eval"
        )
    assert not (trained / "probe.svg").exists()


def test_a_picture_needs_matplotlib_and_figures_do_not(
    cli: CLI, copying: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find(name))
    cli("probe", copying).require_refusal("the picture needs matplotlib", "pip install")
    assert cli("probe", copying, "--json").code == 0
