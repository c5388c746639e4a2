"""Stories on the command line: from an archive to a table of errors."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from everlong.data.sealed import read_sealed, write_sealed
from everlong.storage import read_tensors
from tests.cli.support import CLI
from tests.stories import ONE, TWO, archive, folder, moves

FILES = {
    "tasks/en-10k/qa1_where_train.txt": moves(stories=20, seed=1),
    "tasks/en-10k/qa1_where_test.txt": moves(stories=5, seed=2),
    "tasks/en-10k/qa8_lists_train.txt": TWO,
    "tasks/en-10k/qa8_lists_test.txt": TWO,
}


def words(data: object, out: Path, *more: object, model: str = "dnc") -> list[object]:
    sizes = {"d_model": 8, "memory_slots": 4, "slot_size": 3, "n_layers": 1, "save_every": 6, "eval_examples": 4}
    given = [word for name, size in sizes.items() for word in ("--set", f"{name}={size}")]
    return ["train", model, "--task", "babi", "--data", data, "--out", out, "--steps", 12, "--lanes", 2, *given, *more]


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from everlong.cli import main

    home = tmp_path_factory.mktemp("babi")
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words(archive(home / "babi.tar.xz", FILES), home / "run")])
    assert end.value.code in (0, None)
    return home


@pytest.fixture
def trained(trained_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained_once, tmp_path / "home")) / "run"


def test_a_run_of_stories(cli: CLI, tmp_path: Path) -> None:
    ended = cli(*words(folder(tmp_path / "f", FILES), tmp_path / "run", "--json"))
    assert (ended.code, ended.answer["step"]) == (0, 12)
    assert ended.answer["best_bits_per_answer"] > 0
    for word in ("22 examples of babi, 7 held out", "bits/answer", "held-out questions", "tasks failed", "try: ever"):
        assert word in ended.err
    assert json.loads((tmp_path / "run" / "config.json").read_text())["model"]["vocab_size"] == 21


def test_stopped_and_resumed_equals_never_stopped(cli: CLI, trained_once: Path, trained: Path, tmp_path: Path) -> None:
    for path in sorted((trained / "checkpoints").iterdir())[1:]:
        path.rename(tmp_path / path.name)
    assert cli("train", "--resume", "--out", trained).code == 0
    mine, theirs = (
        read_tensors(run / "checkpoints/step-00000012/model.safetensors")[0] for run in (trained_once / "run", trained)
    )
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_a_run_goes_on_that_is_older_than_an_option(cli: CLI, trained_once: Path, trained: Path) -> None:
    source = trained / "examples" / "source.json"
    facts = read_sealed(source)
    write_sealed(source, facts | {"options": {"tasks": [], "folder": ""}})
    resume = ["train", "--resume", "--out", trained, "--steps", 13]
    assert cli(*resume).code == 0
    assert cli(*resume[:-1], 14, "--data", trained_once / "babi.tar.xz").code == 0
    write_sealed(source, facts | {"options": {"tasks": [8], "folder": ""}})
    cli(*resume[:-1], 15, "--set", "task.tasks=[]").require_refusal("has task setting tasks=[8], now it is []")


def test_eval_of_what_was_held_out_and_of_other_stories(cli: CLI, trained: Path, tmp_path: Path) -> None:
    found = cli("eval", trained, "--json").answer
    assert (found["model"], found["task"], found["n_unknown_words"]) == ("dnc", "babi", 0)
    assert [(task["task"], task["title"], task["n_questions"]) for task in found["tasks"]] == [
        (1, "where", 20),
        (8, "lists", 2),
    ]
    assert cli("eval", trained, "--data", trained.parent / "babi.tar.xz", "--json").answer == found
    table = cli("eval", trained).out
    for task in found["tasks"]:
        assert f"{task['error']:.2%}" in table
    assert f"Mean error {found['mean_error']:.2%}, {found['n_failed']} of 2 tasks failed" in table
    other = folder(tmp_path / "g", {"qa1_where_test.txt": "1 Zoe went to the garden.\n2 Where is Zoe?\tgarden\n"})
    ended = cli("eval", trained, "--data", other, "--set", "task.tasks=[1]")
    assert "2 words that no story of the training data has" in ended.err


def test_tasks_are_chosen_and_stay_chosen(cli: CLI, tmp_path: Path) -> None:
    home = archive(tmp_path / "babi.tar.gz", FILES, mode="w:gz")
    assert cli(*words(home, tmp_path / "run", "--set", "task.tasks=[8]")).code == 0
    assert [task["task"] for task in cli("eval", tmp_path / "run", "--json").answer["tasks"]] == [8]
    resume = ["train", "--resume", "--out", tmp_path / "run", "--steps", 13]
    assert cli(*resume, "--set", "task.tasks=[8]").code == 0
    told = "has task setting tasks=[8], now it is [1]. Resume with tasks=[8], or begin a new run"
    cli(*resume, "--set", "task.tasks=[1]").require_refusal(told)


def test_facts_are_hidden_in_a_book_and_measured_at_other_lengths(cli: CLI, tmp_path: Path) -> None:
    home, out, book = folder(tmp_path / "f", FILES), tmp_path / "run", tmp_path / "book.txt"
    book.write_text("".join(f"The ship that bore number {n} sailed on over the sea. " for n in range(30)))
    hidden = ["--set", f"task.background={book}", "--set", "task.length=30"]
    assert cli(*words(home, out, *hidden)).code == 0
    held_out = cli("eval", out, "--json").answer
    assert (held_out["background"], held_out["length"]) == (str(book), 30)
    assert [task["n_questions"] for task in held_out["tasks"]] == [20, 2]
    assert cli("eval", out, "--data", home, "--json").answer == held_out
    longer = cli("eval", out, "--data", home, "--set", "task.length=80", "--json").answer
    assert (longer["length"], longer["bits_per_answer"] == held_out["bits_per_answer"]) == (80, False)
    cli("eval", out, "--set", "task.length=80").require_refusal("length says which stories of --data to measure")
    cli("train", "--resume", "--out", out, *hidden[:2], "--set", "task.length=31").require_refusal(
        "length=30, now it is"
    )
    plain = words(home, tmp_path / "other", "--set", "task.length=30")
    cli(*plain).require_refusal("length=30 is that of facts in a background")
    missing = words(home, tmp_path / "other", "--set", "task.background=no.txt")
    cli(*missing).require_refusal("no.txt")
    assert not (tmp_path / "other").exists()


def test_what_does_not_fit_is_refused(cli: CLI, trained: Path, book: Path, tmp_path: Path) -> None:
    home, out = trained.parent / "babi.tar.xz", tmp_path / "run"
    cli(*words(home, out, "--chunk", 8)).require_refusal("task=babi has no use for --chunk: its stories are read whole")
    cli(*words(home, out, "--tokenizer", "bpe:300")).require_refusal("has no use for --tokenizer")
    cli(*words(home, out, "--document-separator", "x")).require_refusal("has no use for --document-separator")
    cli(*words(home, out, model="bert")).require_refusal("bert cannot learn task=babi")
    cli(*words(home, out, "--set", "task.tasks=[2]")).require_refusal("no training file of task 2")
    cli(*words(home, out, "--set", "task.tasks=many")).require_refusal("tasks = 'many' does not fit")
    cli(*words(book, out)).require_refusal("is no tar archive, or a damaged one")
    cli(*words(tmp_path / "no.tar", out)).require_refusal("there is no file or folder")
    bad = folder(tmp_path / "bad", {"qa1_x_train.txt": ONE + "5 What now?\t\n"})
    cli(*words(bad, out)).require_refusal("qa1_x_train.txt:5 asks a question without an answer")
    cli("train", "lstm", "--task", "babi", "--out", out).require_refusal("no text is given")
    assert not out.exists()


def test_another_use_of_the_run_is_refused(cli: CLI, trained: Path, tmp_path: Path) -> None:
    cli("eval", trained, "--limit", 3).require_refusal("has no use for --limit: its stories are read whole")
    cli("eval", trained, "--set", "tasks=[1]").require_refusal("tasks says which stories of --data to measure")
    cli("train", "--resume", "--out", trained, "--set", "tasks=[1]").require_refusal("has task setting tasks=[], now")
    cli("train", "--resume", "--out", trained, "--data", tmp_path).require_refusal("was built from other text")
    shutil.rmtree(trained / "examples-valid")
    cli("eval", trained).require_refusal("holds no stories to measure. Write --data")


def test_a_question_is_asked_in_words(cli: CLI, trained: Path) -> None:
    ended = cli("generate", trained, "--prompt", "Mary went to the garden. Where is Mary? -", "--max-new-tokens", 1)
    assert ended.code == 0
    assert len(ended.out.split()) == 1
