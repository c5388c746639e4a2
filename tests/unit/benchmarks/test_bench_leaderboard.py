"""The leaderboard is what its results say, and the page in docs is up to date."""

import json
from typing import Any

from benchmarks.leaderboard import PAGE, RECALL, TEXT, answers_table, page, places, text_table
from benchmarks.report import RESULTS


def book(model: str, seed: int, bits: float) -> dict[str, Any]:
    sums = {"bits_per_byte": bits, "bits_per_byte_reset": bits + 0.25, "bits_per_byte_other": bits + 0.5, "gain": 0.25}
    costs = {"parameters": 1000, "memory_bytes": 2048, "training_cpu_seconds": 120.0, "training_tokens": 1_500_000}
    return {"model": model, "seed": seed, "cpu_minutes": 3.0, **sums, **costs}


def answers(model: str, seed: int, *wrong: float) -> dict[str, Any]:
    trials = [{"sizes": {"length": 64 * 2**n}, "wrong_answers": share} for n, share in enumerate(wrong)]
    task = {"task": "passkey", "rules": {"digits": 5}}
    costs = {"parameters": 1000, "memory_bytes": 260, "sequences_seen": 3000}
    return {"model": model, "seed": seed, "trials": trials, **task, **costs}


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_a_place_is_lower_only_where_every_run_is_worse() -> None:
    assert places({"a": [1.0, 2.0], "b": [1.9, 3.0], "c": [2.0, 2.0], "d": [3.5]}) == {"a": 1, "b": 1, "c": 1, "d": 4}


def test_books_are_in_order_of_bits_and_variants_are_left_out() -> None:
    rows = [book("gru", 0, 2.5), book("lstm", 0, 2.0), book("lstm", 1, 2.25), book("lstm+wide", 0, 1.0)]
    head, _, *lines = cells(text_table(rows))
    found = [dict(zip(head, line, strict=True)) for line in lines]
    assert [line["model"] for line in found] == ["`lstm`", "`gru`"]
    assert [line["place"] for line in found] == ["1", "2"]
    assert (found[0]["runs"], found[0]["carried"], found[0]["reset"]) == ("2", "2.125 ± 0.250", "2.375 ± 0.250")
    assert (found[0]["wrong document"], found[0]["carried saves"]) == ("2.625 ± 0.250", "0.250 ± 0.000")
    assert (found[0]["a session keeps"], found[0]["CPU min"], found[0]["M bytes read"]) == ("2.0 KiB", "2.0", "1.5")


def test_answers_are_in_order_of_what_is_right_over_all_sizes() -> None:
    rows = [answers("gru", 0, 0.5, 0.75), answers("lstm", 0, 0.0, 0.5), answers("lstm", 1, 0.25, 0.75)]
    head, _, *lines = cells(answers_table(rows))
    found = [dict(zip(head, line, strict=True)) for line in lines]
    assert [(line["place"], line["model"]) for line in found] == [("1", "`lstm`"), ("2", "`gru`")]
    assert (found[0]["64"], found[0]["128"], found[1]["64"]) == ("87.5 ± 25.0", "37.5 ± 25.0", "50.0")


def test_a_section_says_what_it_measured_and_by_which_command() -> None:
    results = {
        TEXT: {"rows": [book("gru", 0, 2.5), book("lstm", 0, 2.0)]},
        "recall-passkey": {"command": ["--task", "passkey"], "rows": [answers("gru", 0, 0.5)]},
    }
    text = page(results)
    assert f"`python -m benchmarks.quality --name {TEXT} --cpu-minutes 3 --models gru lstm`" in text
    assert "## A pass key in noise: length 64\n\n`python -m benchmarks.recall --task passkey`" in text
    assert "Recall of pairs" not in text


def test_the_page_is_that_of_the_results() -> None:
    files = {name: RESULTS / f"{name}.json" for name in (TEXT, *RECALL)}
    results = {name: json.loads(file.read_text()) for name, file in files.items() if file.exists()}
    assert PAGE.read_text() == page(results), "run python -m benchmarks.leaderboard"
