"""A comparison is made in pieces, and its file is written after each."""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from benchmarks.pieces import comparison, fields, run_all


@dataclass(frozen=True)
class Job:
    model: str
    seed: int
    calls: Path

    @property
    def asked(self) -> dict[str, Any]:
        return {**self.shared, "model": self.model, "seed": self.seed}

    @property
    def shared(self) -> dict[str, Any]:
        return {"budget": 3}


def run(job: Job) -> dict[str, Any]:
    with job.calls.open("a") as file:
        file.write(f"{job.model}{job.seed}\n")
    return {**job.asked, "found": job.seed * 2}


def run_but_not_zero(job: Job) -> dict[str, Any]:
    if job.seed == 0:
        raise ValueError("seed 0 failed")
    return run(job)


def table(rows: list[dict[str, Any]]) -> str:
    return f"{len(rows)} rows"


def test_runs_that_have_a_result_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "--jobs", "1"])
    result, job = tmp_path / "results" / "r.json", Job("b", 1, tmp_path / "calls")
    jobs = [job, replace(job, seed=0), replace(job, model="a")]
    for some in (jobs[:2], jobs):
        run_all(some, result, run=run, table=table, order=["a", "b"], processes=1)
    record = json.loads(result.read_text())
    assert record["command"] == ["--jobs", "1"]
    assert record["machine"]["threads"] == 1
    assert [(row["model"], row["seed"], row["found"]) for row in record["rows"]] == [
        ("a", 1, 2),
        ("b", 0, 0),
        ("b", 1, 2),
    ]
    assert sorted((tmp_path / "calls").read_text().split()) == ["a1", "b0", "b1"]
    assert capsys.readouterr().err.split("\n")[-2] == "3 rows"


def test_a_run_that_fails_costs_no_other_its_result(tmp_path: Path) -> None:
    result, job = tmp_path / "r.json", Job("b", 0, tmp_path / "calls")
    jobs = [job, replace(job, seed=1), replace(job, seed=2)]
    with pytest.raises(ValueError, match="seed 0 failed"):
        run_all(jobs, result, run=run_but_not_zero, table=table, order=["b"], processes=1)
    assert [row["seed"] for row in json.loads(result.read_text())["rows"]] == [1, 2]


def test_options_are_those_of_every_comparison() -> None:
    parser = comparison("doc", models=["a"], known=["a", "b"])
    assert parser.parse_args([]).models == ["a"]
    given = parser.parse_args(["--models", "b", "--seeds", "4", "--set", "d_model=8", 'norm="pre"', "--jobs", "1"])
    assert (given.models, given.seeds, fields(given.set), fields(given.train)) == (
        ["b"],
        [4],
        {"d_model": 8, "norm": "pre"},
        {},
    )
    with pytest.raises(SystemExit):
        parser.parse_args(["--models", "c"])
