"""Tasks of tokens on the command line: any language model learns them, and no text is read or written afterwards."""

import json
from pathlib import Path
from typing import Any

import pytest

from everlong.data.sealed import read_sealed, write_sealed
from tests.cli.support import CLI

TASKS: dict[str, dict[str, Any]] = {
    "multi-query-recall": {"length": 16, "pairs": 2, "symbols": 12, "fill": "random"},
    "multi-query-overwrite": {"length": 16, "pairs": 2, "updates": 1, "symbols": 16},
    "selective-copy": {"noise": 6, "items": 2, "scattered": "false"},
    "induction-heads": {"length": 12, "symbols": 5},
}
SMALL = {"d_model": 8, "n_layers": 1, "eval_sequences": 4, "save_every": 0}


def words(out: Path, task: str, *more: object, model: str = "gru", **fields: Any) -> list[object]:
    """The command that trains a tiny model in three steps."""
    sizes = [
        word for name, value in {**SMALL, **TASKS[task], **fields}.items() for word in ("--set", f"{name}={value}")
    ]
    return ["train", model, "--task", task, "--out", out, "--steps", 3, "--lanes", 2, *sizes, *more]


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ("multi-query-recall", "length 16, pairs 2, symbols 12, fill random, sizes []"),
        ("multi-query-overwrite", "length 16, pairs 2, symbols 16, fill nothing, updates 1"),
        ("selective-copy", "noise 6, items 2, symbols 16, scattered false"),
        ("induction-heads", "length 12, symbols 5"),
    ],
)
def test_a_task_of_tokens_is_trained_and_measured(cli: CLI, tmp_path: Path, task: str, told: str) -> None:
    ended = cli(*words(tmp_path / "run", task, "--json"))
    assert (ended.code, ended.answer["step"]) == (0, 3)
    assert f"sequences of {task}: {told}" in ended.err
    assert not (tmp_path / "run" / "tokenizer.json").exists()
    found = cli("eval", tmp_path / "run", "--sequences", 3, "--json").answer
    assert (found["task"], found["trials"][0]["sizes"]) == (task, None)
    marked = found["trials"][-1]["by_distance"]
    assert sum(row["n_answers"] for row in marked) == found["trials"][-1]["n_answers"]
    assert "Accuracy by distance" in cli("eval", tmp_path / "run", "--sequences", 3).out


def test_mixed_sizes_are_kept_by_the_run(cli: CLI, tmp_path: Path) -> None:
    assert cli(*words(tmp_path / "run", "multi-query-recall", sizes="[[8,1],[24,3]]")).code == 0
    rules = json.loads((tmp_path / "run" / "train.json").read_text())["data"]
    assert rules["sizes"] == [[8, 1], [24, 3]]
    found = cli("eval", tmp_path / "run", "--sequences", 2, "--json").answer
    sizes = [trial["sizes"] for trial in found["trials"][1:]]
    assert [(size["length"], size["pairs"]) for size in sizes] == [(8, 1), (24, 3), (48, 5), (96, 5)]
    assert cli("train", "--resume", "--out", tmp_path / "run", "--steps", 4).code == 0


def test_a_run_goes_on_that_is_older_than_a_rule(cli: CLI, tmp_path: Path) -> None:
    assert cli(*words(tmp_path / "run", "multi-query-recall", fill="nothing")).code == 0
    about: Any = read_sealed(tmp_path / "run" / "train.json")
    older = {name: value for name, value in about["data"].items() if name not in ("fill", "sizes")}
    write_sealed(tmp_path / "run" / "train.json", about | {"data": older})
    resume = ["train", "--resume", "--out", tmp_path / "run", "--steps", 4]
    assert cli(*resume).code == 0
    write_sealed(tmp_path / "run" / "train.json", about | {"data": older})
    cli(*resume, "--set", "fill=random").require_refusal("data setting fill=nothing, now it is random")


def test_another_use_of_the_run_is_refused(cli: CLI, tmp_path: Path, book: Path) -> None:
    run = tmp_path / "run"
    assert cli(*words(run, "induction-heads")).code == 0
    wordless = "learned from generated sequences, not from text, and can neither read text nor write any"
    cli("generate", run, "--prompt", "a").require_refusal(wordless, "everlong eval")
    cli("chat", run).require_refusal(wordless)
    told = "learned task=induction-heads, which has no use for --data: it is generated and reads no text"
    cli("eval", run, "--data", book).require_refusal(told)
    cli("eval", run, "--set", "symbols=6").require_refusal("task=induction-heads has 6 tokens; the model has vocab")
    cli("train", "gru", "--from", run, "--data", book, "--out", tmp_path / "next").require_refusal(wordless)


@pytest.mark.parametrize(
    ("task", "fields", "said"),
    [
        ("multi-query-recall", {"pairs": 9}, "pairs=9 need a length of 36 or more, not 16"),
        ("multi-query-recall", {"sizes": 64}, "sizes = 64 does not fit"),
        ("multi-query-recall", {"fill": "zeros"}, "fill = 'zeros' does not fit"),
        ("multi-query-overwrite", {"updates": 3}, "updates=3 are more than pairs=2"),
        ("selective-copy", {"items": 0}, "items = 0 does not fit"),
        ("induction-heads", {"length": 3}, "length = 3 does not fit"),
        ("induction-heads", {"vocab_size": 9}, "vocab_size is that of"),
    ],
)
def test_what_does_not_fit_is_refused(cli: CLI, tmp_path: Path, task: str, fields: dict[str, Any], said: str) -> None:
    cli(*words(tmp_path / "run", task, **fields)).require_refusal(said)
    assert not (tmp_path / "run").exists()


def test_neither_encoders_nor_text_belong_to_them(cli: CLI, tmp_path: Path, book: Path) -> None:
    given = words(tmp_path / "run", "selective-copy", model="bert")
    cli(*given).require_refusal("bert cannot learn task=selective-copy, which is for")
    for unused in (["--tokenizer", "byte"], ["--data", book], ["--chunk", 8]):
        told = f"task=selective-copy has no use for {unused[0]}: it is generated and reads no text"
        cli(*words(tmp_path / "run", "selective-copy", *unused)).require_refusal(told)
