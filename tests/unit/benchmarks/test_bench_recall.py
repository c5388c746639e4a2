"""Recall by every architecture: which runs there are, that they go on, and what is said of them."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks import recall
from benchmarks.recall import SIZES, Job, main, rules_of, run, table

from everlong import create_model
from everlong.data.synthetic import MultiQueryRecall
from everlong.errors import ConfigError
from everlong.models import list_models

RULES = MultiQueryRecall(length=16, pairs=2, symbols=12)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(recall, "TRIAL", 1)
    monkeypatch.setattr(recall, "SEQUENCES", 3)
    monkeypatch.setattr(recall, "RESULTS", tmp_path / "results")


def job(folder: Path, **changes: Any) -> Job:
    plain: dict[str, Any] = {"model": "gru", "seed": 0, "rules": RULES, "cpu_minutes": 1e-5}
    return Job(folder=folder, overrides={"d_model": 8, "n_layers": 1}, settings={"lanes": 4}, **{**plain, **changes})


def test_every_causal_architecture_takes_part_and_can_be_made() -> None:
    assert {name.partition("+")[0] for name in SIZES} == set(list_models("causal"))
    for name, sizes in SIZES.items():
        assert create_model(name.partition("+")[0], vocab_size=12, **sizes).config.d_model == 64


def test_a_run_says_what_it_measured_and_is_not_made_twice(tmp_path: Path) -> None:
    made = job(tmp_path)
    row = json.loads(json.dumps(run(made)))
    assert made.asked.items() <= row.items()
    assert (row["updates"], row["sequences_seen"], row["rules"]["pairs"]) == (1, 4, 2)
    # The state of one layer, and the position.
    assert row["memory_bytes"] == 8 * 4 + 8
    assert [trial["sizes"]["length"] for trial in row["trials"]] == [16, 32, 64]
    assert row["accuracy"] == 1 - row["trials"][0]["wrong_answers"]
    assert sum(mark["n_answers"] for mark in row["trials"][0]["by_distance"]) == 3 * 2
    again = run(made)
    assert (again["updates"], again["accuracy"]) == (1, row["accuracy"])


def test_the_table_goes_by_bytes_and_has_mean_and_spread() -> None:
    def made(model: str, memory_bytes: int, *wrong: float) -> dict[str, Any]:
        trials = [{"sizes": {"length": 64 * 2**n}, "wrong_answers": part} for n, part in enumerate(wrong)]
        return {"model": model, "memory_bytes": memory_bytes, "sequences_seen": 1000, "trials": trials}

    rows = [made("transformer", 2048, 0.5, 0.75), made("gru", 8, 0.1, 0.9), made("gru", 8, 0.3, 0.9)]
    head, *lines = table(rows).splitlines()
    assert head.split() == ["model", "memory", "seeds", "sequences", "64", "128"]
    assert lines[0].split() == ["gru", "8", "B", "2", "1,000", "80.0", "±20.0", "10.0", "±0.0"]
    assert lines[1].split()[:4] == ["transformer", "2.0", "KiB", "1"]


def test_sizes_are_numbers_in_the_order_of_the_task() -> None:
    assert rules_of("multi-query-recall", "128,8", {"symbols": 64}) == MultiQueryRecall(length=128, pairs=8, symbols=64)
    assert rules_of("induction-heads", "", {}).largest == {"length": 256}
    assert rules_of("selective-copy", "32,4", {}).largest == {"noise": 32, "items": 4}
    with pytest.raises(ConfigError, match=r"64 is no size of multi-query-recall\. Give length,pairs"):
        rules_of("multi-query-recall", "64", {})
    with pytest.raises(ConfigError, match=r"64,x is no size of multi-query-recall\. Give length,pairs"):
        rules_of("multi-query-recall", "64,x", {})


def test_a_file_for_each_size_with_a_row_for_each_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def made_here(jobs: list[Job], result: Path, *, run: Any, **_: Any) -> None:
        result.parent.mkdir(exist_ok=True)
        result.write_text(json.dumps({"rows": [run(job) for job in jobs]}))

    monkeypatch.setattr(recall, "run_all", made_here)
    words = ["--models", "gru", "--seeds", "0", "--folder", str(tmp_path), "--cpu-minutes", "0.00001"]
    task = ["--task", "induction-heads", "--sizes", "12", "16", "--rules", "symbols=5"]
    monkeypatch.setattr(sys, "argv", ["recall", *words, *task, "--train", "lanes=2", "--set", "d_model=8"])
    main()
    for length in (12, 16):
        (row,) = json.loads((tmp_path / "results" / f"recall-induction-heads-{length}.json").read_text())["rows"]
        assert (row["seed"], row["rules"]) == (0, {"length": length, "symbols": 5})
    assert "recall-induction-heads-16" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["recall", "--task", "induction-heads", "--sizes", "12,3"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "12,3 is no size of induction-heads. Give length." in capsys.readouterr().err
