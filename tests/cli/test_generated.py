"""Generated tasks on the command line: no text, a run that knows its rules, and refusals in one sentence."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from everlong.storage import read_tensors
from tests.cli.support import CLI

SIZES = ["d_model=8", "memory_slots=5", "slot_size=3", "max_length=3", "save_every=6", "eval_sequences=4"]


def words(out: Path, *more: object, model: str = "ntm", task: str = "copy") -> list[object]:
    """The command that trains a tiny machine in twelve steps."""
    sizes = [word for size in SIZES for word in ("--set", size)]
    return ["train", model, "--task", task, "--out", out, "--steps", 12, "--lanes", 2, *sizes, *more]


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from everlong.cli import main

    out = tmp_path_factory.mktemp("runs") / "copy"
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words(out)])
    assert end.value.code in (0, None)
    return out


@pytest.fixture
def trained(trained_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained_once, tmp_path / "run"))


def test_a_generated_task_needs_no_text(cli: CLI, tmp_path: Path) -> None:
    ended = cli(*words(tmp_path / "run", "--json", "--set", "task.bits=4"))
    assert (ended.code, ended.answer["step"]) == (0, 12)
    assert ended.answer["best_bits_per_sequence"] > 0
    for word in ("sequences of copy: min_length 1, max_length 3, bits 4", "bits/sequence", "wrong bits", "try: everl"):
        assert word in ended.err
    config = json.loads((tmp_path / "run" / "config.json").read_text())["model"]
    assert (config["input_size"], config["output_size"]) == (5, 4)
    assert not (tmp_path / "run" / "tokenizer.json").exists()


def test_stopped_and_resumed_equals_never_stopped(cli: CLI, trained_once: Path, trained: Path, tmp_path: Path) -> None:
    for folder in sorted((trained / "checkpoints").iterdir())[1:]:
        folder.rename(tmp_path / folder.name)
    assert cli("train", "--resume", "--out", trained).code == 0
    for name in ("model", "optimizer"):
        mine, theirs = (
            read_tensors(run / f"checkpoints/step-00000012/{name}.safetensors")[0] for run in (trained_once, trained)
        )
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_eval_gives_figures_to_people_and_programs(cli: CLI, trained: Path) -> None:
    asked = ["eval", trained, "--task", "copy", "--sequences", 5]
    found = cli(*asked, "--json").answer
    assert (found["model"], found["task"], found["rules"]["max_length"]) == ("ntm", "copy", 3)
    assert [trial["sizes"] for trial in found["trials"]][:3] == [None, {"length": 2}, {"length": 3}]
    assert found["trials"][-1]["sizes"] == {"length": 18}
    table = cli(*asked).out
    for trial in found["trials"]:
        assert f"{trial['bits_per_sequence']:.4f}" in table
        assert f"{trial['wrong_bits']:.2%}" in table
    longer = cli(*asked, "--json", "--set", "max_length=20", "--set", "model.dropout=0.5").answer
    assert longer["trials"][-1]["sizes"] == {"length": 120}


def test_eval_says_what_guessing_costs_at_best(cli: CLI, tmp_path: Path) -> None:
    given = ["length=9" if word == "max_length=3" else word for word in words(tmp_path / "run", task="dynamic-n-gram")]
    assert cli(*given).code == 0
    ended = cli("eval", tmp_path / "run", "--sequences", 2)
    assert "at best" in ended.out
    assert "length 18" in ended.out


@pytest.mark.parametrize("task", ["graph-traversal", "shortest-path"])
def test_choices_are_counted_as_answers_and_by_step(cli: CLI, tmp_path: Path, task: str) -> None:
    given = ["max_steps=2" if word == "max_length=3" else word for word in words(tmp_path / "run", task=task)]
    trained = cli(*given, "--set", "min_nodes=6", "--set", "max_nodes=6")
    assert (trained.code, "wrong answers" in trained.err) == (0, True)
    found = cli("eval", tmp_path / "run", "--sequences", 3, "--json").answer
    hardest = found["trials"][-1]
    assert hardest["sizes"] == {"nodes": 12, "steps": 4}
    labels = 3 if task == "shortest-path" else 1
    assert [row["n_answers"] for row in hardest["by_step"]] == [3 * 3 * labels] * 4
    told = cli("eval", tmp_path / "run", "--sequences", 3).out
    assert "wrong answers" in told
    assert "Accuracy by step" in told


@pytest.mark.parametrize(
    ("model", "more", "said"),
    [
        ("gru", [], ["gru cannot learn task=copy", "dnc, lstm, mann, ntm"]),
        ("bert", [], ["bert cannot learn task=copy", "Give task=mlm"]),
        ("ntm", ["--set", "min_length=5"], ["min_length=5 is more than max_length=3"]),
        ("ntm", ["--set", "task.bits=0"], ["bits = 0 does not fit"]),
        ("ntm", ["--set", "input_size=9"], ["input_size is that of the task"]),
        ("ntm", ["--set", "items=9"], ["no setting 'items'"]),
        ("ntm", ["--data", "book.txt"], ["task=copy has no use for --data: it is generated and reads no text"]),
        ("ntm", ["--tokenizer", "bpe:300"], ["task=copy has no use for --tokenizer: it is generated"]),
        ("ntm", ["--chunk", "8"], ["task=copy has no use for --chunk: it is generated"]),
        ("ntm", ["--set", "memory_dropout=0.5"], ["task='copy' carries no memory"]),
    ],
)
def test_what_does_not_fit_is_refused(cli: CLI, tmp_path: Path, model: str, more: list[str], said: list[str]) -> None:
    cli(*words(tmp_path / "run", *more, model=model)).require_refusal(*said)
    assert not (tmp_path / "run").exists()


def test_a_path_that_no_graph_has_is_refused(cli: CLI, tmp_path: Path) -> None:
    given = ["train", "dnc", "--task", "shortest-path", "--out", tmp_path / "run", "--set", "max_steps=14"]
    cli(*given).require_refusal("in none of 100 graphs of 10 nodes was a path of 14 steps the only shortest one")
    assert not (tmp_path / "run").exists()


def test_a_task_that_is_not_known(cli: CLI, tmp_path: Path) -> None:
    given = ["train", "ntm", "--task", "copi", "--out", tmp_path / "run"]
    cli(*given).require_refusal("task = 'copi' does not fit")


def test_another_use_of_the_run_is_refused(cli: CLI, trained: Path, book: Path) -> None:
    for unused in (["--data", book], ["--chunk", 8], ["--limit", 9], ["--document-separator", "x"]):
        told = f"learned task=copy, which has no use for {unused[0]}: it is generated and reads no text. Leave that out"
        cli("eval", trained, *unused).require_refusal(told)
    cli("eval", trained, "--task", "lm").require_refusal("learned task=copy, not lm. Leave out --task")
    cli("eval", trained, "--sequences", 0).require_refusal("sequences=0 is too small")
    cli("eval", trained, "--set", "task.bits=4").require_refusal("task=copy shows vectors of 5 numbers")
    cli("generate", trained, "--prompt", "a").require_refusal(
        "learned from generated sequences, not from text", "everlong eval"
    )
    cli("train", "--resume", "--out", trained, "--data", book).require_refusal("has no use for --data")
    cli("train", "--resume", "--out", trained, "--set", "max_length=4").require_refusal("data setting max_length=3")


def test_a_run_of_text_needs_text(cli: CLI, encoder_run: Path) -> None:
    cli("eval", encoder_run).require_refusal("no text is given to measure")
    cli("eval", encoder_run, "--sequences", 3).require_refusal("has no use for --sequences: it is measured on text")
