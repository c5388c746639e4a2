"""Runs on generated tasks are made in pieces, and measured at every size."""

from pathlib import Path
from typing import Any

import pytest
from benchmarks import algorithms
from benchmarks.algorithms import Job, learned_after, run, table
from benchmarks.pieces import unfinished
from tests.drawings import write_zip

RESULT = Path("copy.json")


def job(model: str = "ntm", seed: int = 0, **changes: Any) -> Job:
    plain: dict[str, Any] = {"task": "copy", "sequences": 8, "folder": Path("runs"), "overrides": {}, "settings": {}}
    return Job(model=model, seed=seed, **{**plain, **changes})


def test_what_is_finished_is_not_made_again() -> None:
    rows = [dict(job().asked), dict(job("lstm").asked)]
    assert unfinished([job(), job(seed=1)], rows, RESULT) == [job(seed=1)]
    with pytest.raises(SystemExit, match=r"copy\.json holds a ntm of seed 0 made otherwise: give another --name"):
        unfinished([job(sequences=9)], rows, RESULT)


def test_a_task_is_learned_at_the_first_measurement_below_the_mark() -> None:
    lines = [
        {"step": 1, "valid_bits_per_sequence": 9.0},
        {"step": 2},
        {"step": 3, "valid_bits_per_sequence": 0.04},
        {"step": 4, "valid_bits_per_sequence": 0.2},
    ]
    assert learned_after(lines, lanes=4) == 12
    assert learned_after(lines[:2], lanes=4) is None


def test_a_run_says_what_it_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(algorithms.SIZES, "lstm", {"d_model": 4, "n_layers": 1})
    tiny = job("lstm", folder=tmp_path, settings={"eval_sequences": 2})
    row = run(tiny)
    assert tiny.asked.items() <= row.items()
    assert [trial["sizes"] for trial in row["trials"]][-1] == {"length": 120}
    assert tiny.training().steps == 8
    assert run(tiny)["trials"] == row["trials"]
    assert "lstm                  1" in table([row])


def test_pictures_and_graphs_have_machines_of_their_papers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mann = job("mann", task="omniglot").asked["config"]
    assert mann == {"d_model": 200, "n_layers": 1, "memory_slots": 128, "slot_size": 40, "n_reads": 4}
    assert job("dnc", task="graph-traversal").asked["config"]["n_reads"] == 5
    assert job("lstm", task="omniglot").asked["config"] == algorithms.SIZES["lstm"]
    pictures = (write_zip(tmp_path / "a.zip", 6, 10), write_zip(tmp_path / "b.zip", 6, 10, seed=1))
    monkeypatch.setitem(algorithms.SIZES, "lstm", {"d_model": 4, "n_layers": 1})
    tiny = job("lstm", task="omniglot", folder=tmp_path, settings={"eval_sequences": 2}, pictures=pictures)
    row = run(tiny)
    assert [len(trial["by_instance"]) for trial in row["trials"]] == [10, 10]
    assert f"{100 * row['trials'][-1]['wrong_answers']:.4f}" in table([row])
