"""Conversations to a run, what their memory is worth, and a chat in their format; and what is refused on the way."""

import shutil
from pathlib import Path

import pytest

from everlong.cli import main
from everlong.generate import Sampler
from everlong.run import load
from everlong.train.folder import data_of
from tests.cli.support import CLI
from tests.dialogues import conversations, write_lines


def train_words(data: Path, out: Path, *more: object) -> list[object]:
    size = ["--lanes", 4, "--chunk", 32, "--steps", 4]
    fields = ["d_model=8", "n_layers=1", "eval_tokens=256"]
    words = ["train", "gru", "--task", "dialogue", "--data", data, "--out", out]
    return [*words, *size, *(word for field in fields for word in ("--set", field)), *more]


@pytest.fixture(scope="module", params=["en", "zh"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps that no test changes, with what it may be measured on beside it."""
    folder = tmp_path_factory.mktemp("dialogue")
    data = write_lines(folder / "train.jsonl", *conversations(60, seed=0, language=request.param))
    write_lines(folder / "test.jsonl", *conversations(6, seed=1, language=request.param))
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in train_words(data, folder / "run")])
    assert end.value.code in (0, None)
    return folder / "run"


def test_turns_and_sessions_are_measured(run: Path, cli: CLI) -> None:
    words = ["eval", run, "--data", run.parent / "test.jsonl", "--lanes", 3]
    found = cli(*words, "--json").answer
    assert (found["task"], found["turns"]["n_documents"]) == ("dialogue", 6)
    assert [(row["first"], row["last"], row["n_parts"]) for row in found["turns"]["by_part"]] == [
        (1, 1, 6), (2, 2, 6), (3, 4, 12)
    ]  # fmt: skip
    assert [row["n_parts"] for row in found["sessions"]["by_part"]] == [6, 6]
    assert found["sessions"]["carried"] == pytest.approx(found["turns"]["carried"], rel=1e-5)
    assert found["turns"]["n_bytes"] == found["sessions"]["n_bytes"]
    table = cli(*words)
    assert "reset at each turn" in table.out
    assert "The memory of earlier sessions saves" in table.out
    fewer = cli(*words, "--limit", 60, "--json").answer
    assert fewer["turns"]["n_documents"] < 6


def test_dialogues_of_one_session_have_no_other(run: Path, cli: CLI, tmp_path: Path) -> None:
    data = write_lines(tmp_path / "one.jsonl", {"turns": [["A", "hello there"], ["B", "你好"]]})
    ending = cli("eval", run, "--data", data)
    assert "There is one dialogue" in ending.err
    assert "session" not in ending.out.replace("bytes a session", "")
    assert cli("eval", run, "--data", data, "--json").answer["sessions"] is None


def test_a_chat_speaks_as_the_dialogues_did(run: Path, cli: CLI, tmp_path: Path) -> None:
    you, other = data_of(run)["speakers"]
    words = ["chat", run, "--max-new-tokens", 5, "--temperature", 0, "--session", tmp_path / "talk"]
    today = cli(*words, stdin=b"hello   there\n")
    assert today.out.startswith(f"{other}:")
    trained = load(run)
    twin = trained.session()

    def say_again(text: str) -> str:
        twin.read(f"{you}: {text}\n{other}:")
        written = twin.write(max_new_tokens=5, stop="\n", sampler=Sampler(temperature=0, top_p=0.95))
        twin.read("\n")
        return written

    assert today.out == f"{other}:{say_again('hello there') or ' …'}\n"
    tomorrow = cli(*words, stdin=b"again\n")
    twin.read("\n")
    assert tomorrow.out == f"{other}:{say_again('again') or ' …'}\n"
    assert cli(*words, "--speakers", "A,B", stdin=b"x\n").out.startswith("B:")


def test_a_run_says_that_it_can_chat_and_goes_on(run: Path, cli: CLI, tmp_path: Path) -> None:
    again = Path(shutil.copytree(run, tmp_path / "again"))
    ending = cli("train", "--resume", "--out", again, "--steps", 6, "--json")
    assert ending.answer["step"] == 6
    assert f"everlong chat {again}" in ending.err


def test_one_who_speaks_alone_leaves_the_usual_names(cli: CLI, tmp_path: Path) -> None:
    data = write_lines(
        tmp_path / "a.jsonl", *({"turns": [["Anna", "alone " * 9], ["Anna", "still"]]} for _ in range(20))
    )
    assert cli(*train_words(data, tmp_path / "run")).code == 0
    assert cli("chat", tmp_path / "run", "--max-new-tokens", 2, stdin=b"x\n").out.startswith("Everlong:")


def test_what_is_refused(run: Path, cli: CLI, book: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    for record, words in {
        '{"turns": []}': ['bad.jsonl:1 has no "turns"', "Each line must be one object"],
        '{"turns": [{"text": "hi"}]}': ["turn 1 of", "has no speaker"],
        '{"turns": [{"speaker": "A", "text": ""}]}': ["has an empty text", "Leave that turn out"],
        '{"dialogue": "A: hi"}': ['has no "turns"'],
        "A: hi": ["is not JSON"],
    }.items():
        bad.write_text(record)
        cli(*train_words(bad, tmp_path / "run")).require_refusal(*words)
        assert not (tmp_path / "run").exists()
        cli("eval", run, "--data", bad).require_refusal(*words)
    cli("eval", run).require_refusal("no dialogues are given to measure", "--data")
    cli("eval", run, "--data", book, "--chunk", 8).require_refusal("no use for --chunk", "turn by turn")
    cli("train", "gru", "--task", "dialogue", "--out", tmp_path / "run").require_refusal("no dialogues are given")
    words = train_words(run.parent / "train.jsonl", tmp_path / "run")
    cli(*words, "--document-separator", "x").require_refusal("no use for --document-separator", "a document")
    cli(*["bert" if word == "gru" else word for word in words]).require_refusal("bert cannot learn task=dialogue")
