"""Runs on the bAbI tasks go on where they stopped, and are measured on every test story."""

from pathlib import Path
from typing import Any

import pytest
from benchmarks import babi
from benchmarks.babi import Job, prepare, run, table
from tests.stories import TWO, folder, moves


def test_a_run_says_what_it_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(babi.SIZES, "lstm", {"d_model": 4, "n_layers": 1})
    files = {f"qa1_where_{part}.txt": moves(stories=6, seed=n) for n, part in enumerate(("train", "test"))}
    home = folder(tmp_path / "f", {**files, "qa8_lists_train.txt": TWO, "qa8_lists_test.txt": TWO})
    plain: dict[str, Any] = {"model": "lstm", "seed": 0, "overrides": {}, "settings": {"lanes": 4}}
    job = Job(tasks=(1,), stories=8, folder=tmp_path / "runs", **plain)
    for _ in range(2):
        prepare(home, job.tasks, job.folder)
    row = run(job)
    assert job.asked.items() <= row.items()
    assert job.training().steps == 2
    assert [(task["task"], task["n_questions"]) for task in row["tasks"]] == [(1, 24)]
    assert run(job)["tasks"] == row["tasks"]
    assert "lstm        1" in table([row])
