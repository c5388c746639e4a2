"""What ``everlong train`` leaves of an optimisation that was watched, and what it refuses."""

import json
from pathlib import Path

import pytest

from everlong.report import page
from tests.cli.support import CLI, train_words


def test_a_watched_run_leaves_figures_and_a_page(cli: CLI, book: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    found = cli(*train_words(book, out, "--set", "diagnose_every=6"))
    assert found.code == 0
    assert f"how the optimisation went: {out / 'optimisation.html'}" in found.err
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "source_gradient_targets" in line] == [6, 12]
    assert (out / "optimisation.html").read_text().count("<svg") == 3


def test_a_run_that_is_not_watched_leaves_none(trained: Path) -> None:
    assert not (trained / "optimisation.html").exists()


def test_the_page_needs_what_makes_pages(cli: CLI, book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page.importlib.util, "find_spec", lambda _: None)
    cli(*train_words(book, tmp_path / "run", "--set", "diagnose_every=6")).require_refusal("the report needs jinja2")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("diagnose_every=-1", "TrainConfig.diagnose_every = -1 does not fit"),
        ("diagnose_every=often", "diagnose_every"),
        ("window_growth=0.5", "window=1 leaves window_growth nothing to grow to"),
        ("memory_swap=2", "TrainConfig.memory_swap = 2 does not fit"),
        ("clip_aux=-1", "TrainConfig.clip_aux = -1"),
        ("orthogonal=true", "orthogonal"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(cli: CLI, book: Path, tmp_path: Path, setting: str, words: str) -> None:
    cli(*train_words(book, tmp_path / "run", "--set", setting)).require_refusal(words)
