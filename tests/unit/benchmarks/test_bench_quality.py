"""Quality runs are made in pieces, and no piece is lost."""

from pathlib import Path
from typing import Any

import pytest
from benchmarks.pieces import unfinished
from benchmarks.quality import Job

RESULT = Path("quality.json")


def job(model: str = "lstm", seed: int = 0, **changes: Any) -> Job:
    plain: dict[str, Any] = {"data": "english-novels", "cpu_minutes": 30.0, "overrides": {}, "settings": {}}
    return Job(model=model, seed=seed, folder=Path("runs"), **{**plain, **changes})


def row(made: Job) -> dict[str, Any]:
    return {**made.asked, "bits_per_byte": 2.0}


def test_what_is_finished_is_not_made_again_and_other_pieces_do_not_matter() -> None:
    rows = [row(job()), row(job("gru")), row(job(seed=2))]
    assert unfinished([job(), job(seed=1), job("transformer")], rows, RESULT) == [job(seed=1), job("transformer")]
    assert unfinished([job()], rows, RESULT) == []
    assert unfinished([job()], [], RESULT) == [job()]


@pytest.mark.parametrize(
    "there",
    [job(cpu_minutes=6.0), job("gru", cpu_minutes=6.0), job(overrides={"d_model": 8}), job(data="enwiki-long-2014")],
    ids=str,
)
def test_a_file_of_other_runs_is_not_written_to(there: Job) -> None:
    with pytest.raises(SystemExit, match=r"quality\.json holds a \w+ of seed 0 made otherwise: give another --name"):
        unfinished([job()], [row(there)], RESULT)


def test_a_row_from_before_budgets_were_kept_is_of_another_run() -> None:
    old = {"model": "lstm", "seed": 0, "data": "english-novels", "bits_per_byte": 2.1}
    with pytest.raises(SystemExit, match="made otherwise"):
        unfinished([job()], [old], RESULT)
