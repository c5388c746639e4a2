"""Bad input: exit code 2, one sentence with the remedy, no traceback, and everything that was there as it was."""

import errno
import fcntl
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.support import CLI, TEXT, train_words


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(None, ["there is no file or folder", "Check the path"], id="missing"),
        pytest.param(b"", ["is empty"], id="empty"),
        pytest.param(b"MZ\x00\x01\x02", ["binary file", "byte 2"], id="binary"),
        pytest.param("船来了\n".encode() + b"ok\n\xe8\x88", ["not valid UTF-8", "line 3"], id="half-valid"),
        pytest.param(b"too short", ["too few for lanes=2", "more text"], id="shorter-than-a-chunk"),
    ],
)
def test_text_that_cannot_be_learned_from(cli: CLI, tmp_path: Path, content: bytes | None, words: list[str]) -> None:
    text = tmp_path / "text.txt"
    if content is not None:
        text.write_bytes(content)
    cli(*train_words(text, tmp_path / "run")).require_refusal(*words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", b'{"text": "fine"}\n{"txt": 1}\n', ["a.jsonl:2", '"text"']),
        ("a.txt.gz", gzip.compress(TEXT.encode(), mtime=0)[:60], ["damaged or cut short"]),
        ("a.txt", "text".encode("utf-16"), ["UTF-16"]),
    ],
)
def test_damaged_text(cli: CLI, tmp_path: Path, name: str, content: bytes, words: list[str]) -> None:
    (tmp_path / name).write_bytes(content)
    cli(*train_words(tmp_path / name, tmp_path / "run")).require_refusal(*words)


def test_eval_of_text_that_is_not_there(cli: CLI, trained: Path, tmp_path: Path) -> None:
    cli("eval", trained, "--data", tmp_path / "no.txt").require_refusal("there is no file or folder")


def test_a_failed_start_leaves_other_files_alone(cli: CLI, tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("too short")
    before = files_of(tmp_path)
    cli(*train_words(tmp_path / "short.txt", tmp_path / "runs" / "new")).require_refusal("too few")
    assert files_of(tmp_path) == before


# Models and settings


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--set", "d_modle=8"], ["no setting 'd_modle'", "Did you mean 'd_model'?"]),
        (["--set", "model.lr=8"], ["no setting 'model.lr'", "Did you mean 'lr'?"]),
        (["--set", "n_heads=3"], ["d_model=16 does not divide into n_heads=3", "15 or 18"]),
        (["--set", "dropout=big"], ["dropout = 'big' does not fit"]),
        (["--set", "lr=-1"], ["lr = -1 does not fit"]),
        (["--set", "lr"], ["--set key=value"]),
        (["--set", "vocab_size=300"], ["vocab_size is that of the tokenizer"]),
        (["--set", "lanes=7"], ["'lanes' is given twice"]),
        (["--tokenizer", "words"], ["--tokenizer words is not known", "bpe:8000"]),
        (["--track", "paper"], ["track = 'paper' does not fit"]),
        (["--config", "no.toml"], ["cannot read --config no.toml"]),
        (["--set", "fsdp=true"], ["torchrun"]),
    ],
)
def test_settings_that_do_not_fit(cli: CLI, book: Path, tmp_path: Path, change: list[str], words: list[str]) -> None:
    name = change[-1].partition("=")[0]
    plain = train_words(book, tmp_path / "run")
    place = next((n for n, word in enumerate(plain) if str(word).startswith(f"{name}=")), None)
    if place is not None:
        plain[place - 1 : place + 1] = []
    cli(*plain, *change).require_refusal(*words)


def test_an_unknown_model(cli: CLI, book: Path, tmp_path: Path) -> None:
    words = ["transfomer-xl" if word == "transformer-xl" else word for word in train_words(book, tmp_path / "run")]
    cli(*words).require_refusal("no architecture 'transfomer-xl'", "Did you mean 'transformer-xl'?")
    assert not (tmp_path / "run").exists()


def test_an_unknown_kind(cli: CLI) -> None:
    cli("models", "--kind", "causl").require_refusal("no kind 'causl'", "causal")


def test_words_that_are_missing(cli: CLI, book: Path, tmp_path: Path) -> None:
    cli("train", "--data", book, "--out", tmp_path / "run").require_refusal("no model is named")
    cli("train", "gru", "--out", tmp_path / "run").require_refusal("no text is given")


@pytest.mark.parametrize(
    "words", [["train"], ["train", "gru", "--lanes", "x"], ["sail"], ["generate", "r", "--threads", "-1"]]
)
def test_usage_errors_end_with_2(cli: CLI, words: list[str]) -> None:
    ended = cli(*words)
    assert ended.code == 2
    assert "Traceback" not in ended.err


def test_more_memory_than_there_is(cli: CLI, book: Path, tmp_path: Path) -> None:
    words = ["train", "gru", "--data", book, "--out", tmp_path / "run", "--set", "d_model=1000000000"]
    cli(*words).require_refusal("not enough memory", "smaller sizes")


# Runs, checkpoints, memories


def test_a_folder_that_is_no_run(cli: CLI, tmp_path: Path) -> None:
    cli("generate", tmp_path / "no").require_refusal("there is no folder")
    cli("generate", tmp_path).require_refusal("is not a run")
    cli("train", "--resume", "--out", tmp_path).require_refusal("holds no run to resume")


def damage_flip(path: Path) -> None:
    """Flip a bit in the last byte."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def damage_cut(path: Path) -> None:
    """Cut the file in half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_json(path: Path) -> None:
    """Change a number inside."""
    path.write_text(path.read_text().replace("16", "17", 1))


@pytest.mark.filterwarnings("default::everlong.checkpoint.DamagedCheckpointWarning")
@pytest.mark.parametrize("damage", [damage_flip, damage_cut])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    cli: CLI, trained: Path, damage: Callable[[Path], None]
) -> None:
    folders = sorted((trained / "checkpoints").iterdir())
    damage(folders[-1] / "model.safetensors")
    ended = cli("generate", trained, "--max-new-tokens", 3)
    assert ended.code == 0
    assert f"everlong: {folders[-1]}" in ended.err
    assert "used instead" in ended.err
    for folder in folders[:-1]:
        damage(folder / "model.safetensors")
    cli("generate", trained, "--max-new-tokens", 3).require_refusal("no checkpoint", "is whole")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
@pytest.mark.parametrize("damage", [damage_json, damage_cut])
def test_a_damaged_settings_file(cli: CLI, trained: Path, damage: Callable[[Path], None], name: str) -> None:
    if name == "tokenizer.json" and damage is damage_json:
        (trained / name).write_text((trained / name).read_text().replace("byte", "bite"))
    else:
        damage(trained / name)
    before = files_of(trained)
    cli("generate", trained).require_refusal(name)
    assert files_of(trained) == before


@pytest.mark.parametrize("damage", [damage_flip, damage_cut])
def test_a_damaged_memory(cli: CLI, trained: Path, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    memory = tmp_path / "m"
    cli("generate", trained, "--prompt", "a", "--max-new-tokens", 2, "--save-memory", memory)
    damage(memory)
    before = memory.read_bytes()
    for words in (["generate", trained, "--memory", memory], ["chat", trained, "--session", memory]):
        cli(*words).require_refusal(str(memory))
    assert memory.read_bytes() == before


def test_a_memory_of_another_model(cli: CLI, trained: Path, book: Path, tmp_path: Path) -> None:
    memory = tmp_path / "m"
    cli("generate", trained, "--prompt", "a", "--max-new-tokens", 2, "--save-memory", memory)
    cli(*train_words(book, tmp_path / "other", "--seed", 7))
    words = ["generate", tmp_path / "other", "--memory", memory]
    cli(*words).require_refusal("other weights")
    words = ["train", "lstm", "--data", book, "--out", tmp_path / "l", "--steps", 1, "--lanes", 2, "--chunk", 8]
    cli(*words, "--set", "d_model=8")
    cli("generate", tmp_path / "l", "--memory", memory).require_refusal(str(memory), "lstm")


def test_a_checkpoint_of_another_config(cli: CLI, trained: Path, book: Path, tmp_path: Path) -> None:
    cli(*train_words(book, tmp_path / "other", "--set", "norm=pre"))
    (trained / "config.json").write_bytes((tmp_path / "other" / "config.json").read_bytes())
    cli("train", "--resume", "--out", trained, "--steps", 20).require_refusal("the model has")
    cli("generate", trained).require_refusal("the model has")


def test_a_field_that_changes_the_weights_at_evaluation(cli: CLI, trained: Path, book: Path) -> None:
    words = ["eval", trained, "--data", book]
    cli(*words, "--set", "d_model=32").require_refusal("changes the weights")
    cli(*words, "--set", "memlen=32").require_refusal("no setting 'memlen'", "Did you mean 'mem_len'?")
    cli(*words, "--chunk", 0).require_refusal("chunk=0 is too small")


# Folders


def test_a_folder_with_a_run_in_it(cli: CLI, trained: Path, book: Path) -> None:
    before = files_of(trained)
    cli(*train_words(book, trained)).require_refusal("holds a run already", "--resume")
    assert files_of(trained) == before


def test_a_folder_with_something_else_in_it(cli: CLI, book: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("do not lose me")
    cli(*train_words(book, tmp_path)).require_refusal("is not empty", "thesis.tex")
    assert files_of(tmp_path) == {"thesis.tex": b"do not lose me"}
    cli("demo", "--out", tmp_path).require_refusal("is in use", "--out")


def test_a_folder_that_another_process_trains_in(cli: CLI, trained: Path) -> None:
    handle = os.open(trained / ".lock", os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        cli("train", "--resume", "--out", trained, "--steps", 20).require_refusal("is in use by process")
    finally:
        os.close(handle)


def test_a_store_of_other_text(cli: CLI, book: Path, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text(TEXT)
    assert cli(*train_words(book, tmp_path / "run")).code == 0
    words = ["train", "--resume", "--out", tmp_path / "run", "--data", tmp_path / "other.txt"]
    cli(*words).require_refusal("was built from other text")
    for checkpoint in (tmp_path / "run" / "checkpoints").iterdir():
        checkpoint.rename(tmp_path / checkpoint.name)
    cli(*train_words(tmp_path / "other.txt", tmp_path / "run")).require_refusal("was built from other text")


def test_an_out_that_is_a_file(cli: CLI, book: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    cli(*train_words(book, tmp_path / "file")).require_refusal("is a file")
    cli(*train_words(book, tmp_path / "file" / "run")).require_refusal("cannot write")
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (["--lanes", 4], "lanes=2"),
        (["--chunk", 16], "chunk=8"),
        (["--seed", 5], "seed=0"),
        (["--set", "lr=0.5"], "lr=0.01"),
        (["--set", "mem_len=16"], "mem_len=8"),
    ],
)
def test_resuming_with_other_settings(cli: CLI, trained: Path, change: list[object], word: str) -> None:
    before = files_of(trained / "checkpoints")
    cli("train", "--resume", "--out", trained, *change).require_refusal(word, "another folder")
    assert files_of(trained / "checkpoints") == before


def test_resuming_another_architecture(cli: CLI, trained: Path) -> None:
    cli("train", "gru", "--resume", "--out", trained).require_refusal("is a transformer-xl, not a gru")
    other = cli("train", "--resume", "--out", trained, "--task", "copy")
    other.require_refusal("learns task=lm, not copy. Resume it without --task")


def test_text_options_that_a_run_cannot_heed_any_more_are_refused(cli: CLI, trained: Path) -> None:
    before = sorted(trained.rglob("*"))
    for option, value in {"--tokenizer": "bpe:300", "--document-separator": "***", "--valid": trained / "x"}.items():
        ended = cli("train", "--resume", "--out", trained, "--steps", 20, option, value)
        ended.require_refusal(f"--resume goes on with what the run has made of its data, which {option} cannot change")
    assert sorted(trained.rglob("*")) == before


@pytest.mark.parametrize("name", [".", "run", "nowhere/memory"])
def test_a_memory_that_could_not_be_kept_is_refused_before_reading(
    cli: CLI, trained: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(trained.parent)
    cli("generate", trained, "--prompt", "Jim", "--save-memory", name).require_refusal(f"cannot write {name}: ")
    cli("chat", trained, "--session", name, stdin=b"Jim\n").require_refusal(f"cannot write {name}: ")


# A full disk


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on, nothing more can be synced to disk."""

    def fill() -> None:
        def refuse(handle: int) -> None:
            del handle
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", refuse)

    return fill


def test_a_full_disk_while_training(cli: CLI, trained: Path, full_disk: Callable[[], None]) -> None:
    before = files_of(trained / "checkpoints")
    full_disk()
    cli("train", "--resume", "--out", trained, "--steps", 20).require_refusal("the disk is full", "Free some space")
    assert files_of(trained / "checkpoints") == before


def test_a_full_disk_before_training(cli: CLI, book: Path, tmp_path: Path, full_disk: Callable[[], None]) -> None:
    full_disk()
    cli(*train_words(book, tmp_path / "run")).require_refusal("the disk is full")
    assert not any(tmp_path.iterdir())


def test_a_full_disk_when_a_conversation_is_saved(
    cli: CLI, trained: Path, tmp_path: Path, full_disk: Callable[[], None]
) -> None:
    words = ["chat", trained, "--session", tmp_path / "talk", "--max-new-tokens", 4]
    assert cli(*words, stdin=b"hello\n").code == 0
    before = (tmp_path / "talk").read_bytes()
    full_disk()
    ended = cli(*words, stdin=b"again\n")
    assert ended.code == 2
    assert "the disk is full" in ended.err
    assert (tmp_path / "talk").read_bytes() == before


# Prompts


def test_prompts_that_are_no_text(cli: CLI, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"fine\nnot \xff fine")
    cli("generate", trained, "--prompt-file", tmp_path / "bad").require_refusal("not valid UTF-8", "line 2")
    cli("generate", trained, "--prompt-file", tmp_path / "no").require_refusal("there is no file")
    cli("generate", trained, "--prompt-file", "-", stdin=b"\xff\xff").require_refusal("standard input", "byte 0")
    cli("generate", trained, "--prompt", "\udcff").require_refusal("the prompt is not valid UTF-8")
    cli("generate", trained, "--prompt", "a", "--prompt-file", "b").require_refusal("Give one of them")


def test_a_line_that_is_no_text(cli: CLI, trained: Path) -> None:
    ended = cli("chat", trained, stdin=b"\xff\n")
    assert ended.code == 2
    assert "line 1 of standard input is not valid UTF-8" in ended.err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--temperature", "-1"], "temperature = -1.0 does not fit"),
        (["--top-p", "2"], "top_p = 2.0 does not fit"),
        (["--stop", ""], "a stop string is empty"),
    ],
)
def test_samplers_that_do_not_fit(cli: CLI, trained: Path, words: list[str], reason: str) -> None:
    cli("generate", trained, *words).require_refusal(reason)


PEAK = """
import resource, sys
from everlong.cli import main
try:
    main(sys.argv[1:])
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


@pytest.mark.slow
def test_a_prompt_of_a_million_tokens_takes_constant_memory(trained: Path, tmp_path: Path) -> None:
    def peak(n_bytes: int) -> int:
        (tmp_path / "prompt").write_text((TEXT * (n_bytes // len(TEXT) + 1))[:n_bytes])
        words = ["generate", str(trained), "--prompt-file", str(tmp_path / "prompt"), "--max-new-tokens", "5", "--json"]
        done = subprocess.run([sys.executable, "-c", PEAK, *words], capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["tokens_read"] == n_bytes + 5
        return int(done.stderr.splitlines()[-1])

    assert peak(1_000_000) - peak(50_000) < 20_000  # KiB


# Encoders


@pytest.mark.parametrize("words", [["generate", "--prompt", "Jim"], ["chat"]], ids=["generate", "chat"])
def test_an_encoder_cannot_write(cli: CLI, encoder_run: Path, words: list[str]) -> None:
    ended = cli(words[0], encoder_run, *words[1:])
    ended.require_refusal("encoder holds bert, an encoder: it reads text and cannot write any", "gru, ", "lstm, ")


def test_a_memory_file_is_of_no_use_to_an_encoder(cli: CLI, encoder_run: Path, tmp_path: Path) -> None:
    (tmp_path / "memory").write_bytes(b"")
    for words in (["generate", encoder_run, "--memory", tmp_path / "memory"], ["chat", encoder_run, "--session"]):
        place = [tmp_path / "memory"] if words[-1] == "--session" else []
        cli(*words, *place).require_refusal("cannot write any")


@pytest.mark.parametrize(
    ("model", "more", "words"),
    [
        ("bert", ["--task", "lm"], ["bert cannot learn task=lm", "Give task=mlm"]),
        ("gru", ["--task", "mlm"], ["gru cannot learn task=mlm", "Give task=lm"]),
        ("bert", ["--task", "parse"], ["TrainConfig.task = 'parse' does not fit"]),
        ("bert", ["--set", "mask_rate=2"], ["mask_rate = 2 does not fit"]),
        ("bert", ["--set", "mask_unit=line"], ["'token', 'word' or 'span'"]),
        ("bert", ["--set", "memory_dropout=0.1"], ["carries no memory", "leave it at 0"]),
        ("bert", ["--set", "long_weight=5"], ["reads no stream of documents", "leave long_weight at 1"]),
        ("bert", ["--set", "mix=[0.1,0]"], ["is not mixed with generated passages", "leave mix at [0, 0]"]),
        ("gru", ["--set", "mix=0.1"], ["mix = 0.1 does not fit"]),
        ("gru", ["--set", "long_weight=0"], ["long_weight = 0 does not fit"]),
        ("gru", ["--set", "favour=1", "--set", "chunk=8"], ["too few documents to draw from: 1", "leave favour at 0"]),
    ],
)
def test_what_a_model_cannot_learn(
    cli: CLI, book: Path, tmp_path: Path, model: str, more: list[str], words: list[str]
) -> None:
    cli("train", model, "--data", book, "--out", tmp_path / "run", *more).require_refusal(*words)
    assert not (tmp_path / "run").exists()
