"""Runs on labelled texts go on where they stopped, and are measured on every test text."""

import json
import lzma
from pathlib import Path
from typing import Any

import pytest
from benchmarks import classification
from benchmarks.classification import Job, prepare, run, table, texts

from everlong.data import ExampleStore

WORDS = {"1": "lovely", "0": "awful"}


def write_split(path: Path, count: int, **more: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"id": n, "label": n % 2, "text": f"We saw it. It was {WORDS[str(n % 2)]}, film {n}. The end.", **more}
        for n in range(count)
    ]
    with lzma.open(path, "wt", encoding="utf-8") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(classification, "DATA", tmp_path / "data")
    monkeypatch.setattr(classification, "TRIAL", 1)
    monkeypatch.setitem(classification.SIZES, "bert", {"d_model": 8, "n_layers": 1, "n_heads": 2, "d_ff": 8})
    monkeypatch.setitem(classification.LIMITS, "bert", 9)
    for name, count in (("train", 40), ("test", 7)):
        write_split(tmp_path / "data" / "imdb" / f"{name}.jsonl.xz", count)
    return tmp_path / "data"


def job(folder: Path, **changes: Any) -> Job:
    plain: dict[str, Any] = {"data": "imdb", "model": "bert", "seed": 0, "cpu_minutes": 1e-5, "vocab_size": 260}
    return Job(folder=folder, overrides={}, settings={"lanes": 4}, **{**plain, **changes})


@pytest.mark.usefixtures("data")
def test_a_run_says_what_it_measured(tmp_path: Path) -> None:
    made = job(tmp_path / "runs")
    row = run(made)
    assert made.asked.items() <= row.items()
    assert (row["n_texts"], row["steps"], row["texts_read"]) == (7, 1, 4)
    assert 0 < row["left_out"] < 1
    assert run(made)["accuracy"] == row["accuracy"]
    assert "bert                       1" in table([row])


def test_held_out_texts_are_those_named_or_every_twentieth(data: Path, tmp_path: Path) -> None:
    home = prepare(job(tmp_path / "runs"))
    assert [len(ExampleStore.open(home / name)) for name in ("train", "valid", "test")] == [38, 2, 7]
    brown = data / "brown-genre" / "brown.jsonl.xz"
    write_split(brown, 3, split="valid")
    assert [len(list(texts("brown-genre", name))) for name in ("train", "valid", "test")] == [0, 3, 0]
    for name, count in (("train", 30), ("valid", 4), ("test", 5)):
        write_split(data / "20newsgroups" / f"{name}.jsonl.xz", count, subject="Films")
    assert [len(list(texts("20newsgroups", name))) for name in ("train", "valid", "test")] == [30, 4, 5]
    assert next(texts("20newsgroups", "test")).text.startswith("Films\n\nWe saw it.")
