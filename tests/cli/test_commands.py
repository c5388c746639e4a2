"""What each command does when all is well."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from everlong.cli.chat import parse_speakers
from everlong.cli.models import reach_text
from everlong.data import TokenStore
from everlong.errors import ConfigError
from everlong.models import list_models
from everlong.storage import read_tensors
from tests.cli.support import CLI, TEXT, train_encoder_words, train_words


def test_train_leaves_a_run_and_says_how_to_use_it(cli: CLI, book: Path, tmp_path: Path) -> None:
    ended = cli(*train_words(book, tmp_path / "run", "--json"))
    assert ended.code == 0
    assert ended.answer["ending"] == "steps"
    assert ended.answer["step"] == 12
    assert len(ended.out.splitlines()) == 1
    for word in ("bits/byte", "tokens/s", "memory", "left", "held-out text", "everlong generate"):
        assert word in ended.err
    found = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"config.json", "train.json", "tokenizer.json", "metrics.jsonl", "checkpoints", "store", "valid"} <= found


def test_the_last_twentieth_is_held_out(trained: Path) -> None:
    held_out = TokenStore.open(trained / "valid")
    assert held_out.n_bytes == len(TEXT.encode()) // 20
    assert TokenStore.open(trained / "store").n_bytes + held_out.n_bytes == len(TEXT.encode())


def test_named_text_is_held_out_instead(cli: CLI, book: Path, tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("measured on this\n" * 4)
    assert cli(*train_words(book, tmp_path / "run", "--valid", tmp_path / "v.txt", "--steps", 12)).code == 0
    assert TokenStore.open(tmp_path / "run" / "valid").n_bytes == 4 * 17
    assert TokenStore.open(tmp_path / "run" / "store").n_bytes == len(TEXT.encode())


def test_data_takes_every_word_after_it(cli: CLI, book: Path, tmp_path: Path) -> None:
    (tmp_path / "second.txt").write_text(TEXT)
    words = ["train", "gru", "--data", book, tmp_path / "second.txt", "--out", tmp_path / "run", "--steps", 1]
    assert cli(*words, "--set", "d_model=8", "--set", "n_layers=1", "--lanes", 2, "--chunk", 8).code == 0
    assert TokenStore.open(tmp_path / "run" / "store").n_documents == 2


def test_bpe_is_trained_and_kept(cli: CLI, book: Path, tmp_path: Path) -> None:
    ended = cli(*train_words(book, tmp_path / "run", "--tokenizer", "bpe:270"))
    assert ended.code == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["model"]["vocab_size"] == 270


def test_settings_come_from_a_file_and_words_win_over_it(cli: CLI, book: Path, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text("steps = 3\n[model]\nd_model = 32\nn_heads = 2\n[train]\nlr = 0.5\n")
    words = ["train", "transformer", "--data", book, "--out", tmp_path / "run", "--config", tmp_path / "s.toml"]
    assert cli(*words, "--set", "train.lr=0.001", "--set", "n_layers=1", "--lanes", 2, "--chunk", 8).code == 0
    training = json.loads((tmp_path / "run" / "train.json").read_text())["training"]
    assert (training["steps"], training["lr"]) == (3, 0.001)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["model"]["d_model"] == 32


def test_a_resumed_run_needs_no_more_than_its_folder(cli: CLI, trained: Path) -> None:
    assert cli("train", "--resume", "--out", trained, "--steps", 14, "--json").answer["step"] == 14
    training = json.loads((trained / "train.json").read_text())["training"]
    assert (training["lanes"], training["chunk"]) == (2, 8)


def test_stopped_and_resumed_equals_never_stopped(cli: CLI, book: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    cli(*train_words(book, whole))
    cli(*train_words(book, parts))
    for folder in sorted((parts / "checkpoints").iterdir())[1:]:
        folder.rename(tmp_path / folder.name)
    assert cli("train", "--resume", "--out", parts, "--data", book).code == 0
    for name in ("model", "lanes", "optimizer"):
        mine, theirs = (
            read_tensors(run / f"checkpoints/step-00000012/{name}.safetensors")[0] for run in (whole, parts)
        )
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_a_start_that_never_trained_is_started_again(cli: CLI, book: Path, tmp_path: Path) -> None:
    words = train_words(book, tmp_path / "run", "--lanes", 2)
    ended = cli(*[10_000 if word == 8 else word for word in words])
    ended.require_refusal("too few for lanes=2", "shorter chunk")
    assert not (tmp_path / "run").exists()
    assert cli(*words).code == 0


def test_minutes_alone_are_the_only_limit(cli: CLI, book: Path, tmp_path: Path) -> None:
    words = [word for word in train_words(book, tmp_path / "run") if word not in ("--steps", 12)]
    ended = cli(*words, "--minutes", 0.005, "--json")
    assert ended.answer["ending"] == "minutes"


def test_generate_writes_text_and_nothing_else_on_standard_output(cli: CLI, trained: Path) -> None:
    ended = cli("generate", trained, "--prompt", "Jim said", "--max-new-tokens", 20, "--temperature", 0)
    again = cli("generate", trained, "--prompt", "Jim said", "--max-new-tokens", 20, "--temperature", 0, "--json")
    assert ended.code == 0
    assert ended.out == again.answer["text"] + "\n"
    assert again.answer["new_tokens"] == 20
    assert ended.err == ""


def test_a_prompt_from_a_file_and_from_standard_input_is_the_same(cli: CLI, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("船 said Jim", encoding="utf-8")
    words = ["generate", trained, "--max-new-tokens", 10, "--seed", 3]
    given = cli(*words, "--prompt", "船 said Jim").out
    assert cli(*words, "--prompt-file", tmp_path / "p.txt").out == given
    assert cli(*words, "--prompt-file", "-", stdin="船 said Jim".encode()).out == given


def test_a_saved_memory_goes_on_where_it_was_saved(cli: CLI, trained: Path, tmp_path: Path) -> None:
    words = ["generate", trained, "--seed", 5, "--json"]
    whole = cli(*words, "--prompt", "The parrot", "--max-new-tokens", 30).answer["text"]
    first = cli(*words, "--prompt", "The parrot", "--max-new-tokens", 10, "--save-memory", tmp_path / "m")
    second = cli(*words, "--memory", tmp_path / "m", "--max-new-tokens", 20)
    assert first.answer["text"] + second.answer["text"] == whole
    assert second.answer["tokens_read"] == len("The parrot") + 30


def test_generate_stops_before_a_stop_string(cli: CLI, trained: Path) -> None:
    words = ["generate", trained, "--prompt", "The", "--max-new-tokens", 40, "--seed", 1, "--json"]
    text = cli(*words).answer["text"]
    assert cli(*words, "--stop", text[7]).answer["text"] == text[: text.index(text[7])]


def test_eval_gives_figures_to_people_and_programs(cli: CLI, trained: Path, book: Path, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("pieces of eight, said the parrot\n" * 20)
    words = ["eval", trained, "--data", book, tmp_path / "other.txt", "--lanes", 2, "--chunk", 32]
    figures = cli(*words, "--json").answer
    assert figures["bits_per_byte_other"] > 0
    assert figures["n_documents"] == 2
    table = cli(*words)
    assert f"{figures['bits_per_byte']:.4f}" in table.out
    assert f"{figures['bits_per_byte_reset']:.4f}" in table.out
    assert "Memory saves" in table.out


def test_eval_takes_a_longer_memory_and_a_limit(cli: CLI, trained: Path, book: Path) -> None:
    words = ["eval", trained, "--data", book, "--json", "--limit", 200, "--chunk", 8]
    short, long = cli(*words).answer, cli(*words, "--set", "mem_len=32").answer
    assert short["n_tokens"] == long["n_tokens"] == 199
    assert long["memory_bytes"] > short["memory_bytes"]


def test_models_lists_everything_there_is(cli: CLI) -> None:
    rows = cli("models", "--json").answer["models"]
    assert [row["name"] for row in rows] == list_models()
    assert all(row["remembers"] for row in rows)
    assert all((row["bytes_per_session"] > 0) == (row["kind"] != "encoder") for row in rows)
    assert all((row["bytes_per_source_token"] > 0) == (row["kind"] == "seq2seq") for row in rows)
    for kind in ("causal", "encoder", "seq2seq"):
        table = cli("models", "--kind", kind).out
        assert all(name in table for name in list_models(kind))


def test_models_says_what_is_compressed_into_how_many_slots(cli: CLI) -> None:
    (row,) = [row for row in cli("models", "--json").answer["models"] if row["name"] == "compressive-transformer"]
    assert "cmem_len (256) slots for compression_rate (4) tokens each" in row["remembers"]
    assert row["reach_tokens"] == 4 * (256 + 4 * 256) + 255


def test_models_says_how_far_an_encoder_sees(cli: CLI) -> None:
    (row,) = [row for row in cli("models", "--json").answer["models"] if row["name"] == "bert"]
    assert (row["kind"], row["remembers"], row["reach_tokens"]) == ("encoder", "Nothing", None)
    assert "the whole text" in cli("models", "--kind", "encoder").out
    assert reach_text("encoder", 1024) == "1,024 to each side"
    assert reach_text("causal", 1024) == "1,024 tokens"


def test_a_conversation_is_there_again_tomorrow(cli: CLI, trained: Path, tmp_path: Path) -> None:
    words = ["chat", trained, "--max-new-tokens", 12, "--session", tmp_path / "talk"]
    today = cli(*words, stdin=b"hello\nwhat ship?\n")
    assert today.code == 0
    assert today.out.count("Everlong:") == 2
    one_day = cli("chat", trained, "--max-new-tokens", 12, stdin=b"hello\nwhat ship?\nand you?\n")
    tomorrow = cli(*words, stdin=b"and you?\n")
    assert "going on after" in tomorrow.err
    assert today.out + tomorrow.out == one_day.out


def test_chat_obeys_its_commands(cli: CLI, trained: Path, tmp_path: Path) -> None:
    script = f"hello\n\n/save {tmp_path / 'kept'}\n/save\n/help\n/what\n/reset\n/quit\nnever read\n"
    ended = cli("chat", trained, "--max-new-tokens", 4, "--speakers", "A,B", stdin=script.encode())
    assert ended.code == 0
    assert ended.out.count("B:") == 1
    assert (tmp_path / "kept").is_file()
    for word in ("name a file", "no command /what", "everything is forgotten"):
        assert word in ended.err


def test_a_byte_order_mark_is_not_part_of_what_is_said(cli: CLI, trained: Path) -> None:
    ended = cli("chat", trained, "--max-new-tokens", 4, stdin=b"\xef\xbb\xbf/quit\r\nnever read\r\n")
    assert (ended.code, ended.out) == (0, "")
    assert "no command" not in ended.err


def test_an_encoder_is_trained_on_hidden_tokens(cli: CLI, book: Path, tmp_path: Path) -> None:
    ended = cli(*train_encoder_words(book, tmp_path / "run", "--task", "mlm", "--set", "mask_unit=word", "--json"))
    assert (ended.code, ended.answer["step"]) == (0, 12)
    for word in ("an encoder without memory", "bits/byte", "of hidden tokens guessed", "everlong eval"):
        assert word in ended.err
    assert " memory 0" not in ended.err
    training = json.loads((tmp_path / "run" / "train.json").read_text())["training"]
    assert (training["task"], training["mask_unit"]) == ("mlm", "word")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert {"valid_loss", "valid_accuracy", "valid_bits_per_byte"} <= set(json.loads(lines[-1]))


def test_an_encoder_stopped_and_resumed_equals_one_never_stopped(cli: CLI, book: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for run in (whole, parts):
        cli(*train_encoder_words(book, run, "--tokenizer", "bpe:270", "--set", "dropout=0.1"))
    for folder in sorted((parts / "checkpoints").iterdir())[1:]:
        folder.rename(tmp_path / folder.name)
    assert cli("train", "--resume", "--out", parts).code == 0
    mine, theirs = (read_tensors(run / "checkpoints/step-00000012/model.safetensors")[0] for run in (whole, parts))
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_eval_of_an_encoder_hides_the_same_tokens_each_time(cli: CLI, encoder_run: Path, book: Path) -> None:
    words = ["eval", encoder_run, "--data", book]
    figures = cli(*words, "--json", "--lanes", 3).answer
    assert (figures["model"], figures["chunk"]) == ("bert", 16)
    assert figures["n_hidden"] == pytest.approx(0.15 * figures["n_tokens"], rel=0.2)
    again = cli(*words, "--json").answer
    assert again["loss"] == pytest.approx(figures["loss"], rel=1e-6)
    assert again["accuracy"] == figures["accuracy"]
    sentence = cli(*words, "--lanes", 3).out
    assert f"{figures['accuracy']:.1%} of {figures['n_hidden']:,} hidden tokens guessed" in sentence
    assert f"{figures['loss']:.4f} nats" in sentence
    wider = cli(*words, "--json", "--chunk", 64, "--limit", 500).answer
    assert (wider["chunk"], wider["n_tokens"]) == (64, 500)


@pytest.mark.parametrize("text", ["one", "same,same", ",", "a,b,c"])
def test_speakers_are_two_names(text: str) -> None:
    with pytest.raises(ConfigError, match="are not two names"):
        parse_speakers(text)


def test_asking_for_help_does_not_wait_for_torch() -> None:
    script = "import sys, everlong.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error(trained: Path) -> None:
    command = [sys.executable, "-m", "everlong", "generate", str(trained), "--max-new-tokens", "20000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_go_on(book: Path, tmp_path: Path) -> None:
    import signal

    words = [str(word) for word in train_words(book, tmp_path / "run") if word not in ("--steps", 12)]
    command = [sys.executable, "-m", "everlong", *words, "--steps", "1000000", "--set", "eval_every=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "tokens/s" in line:
                process.send_signal(signal.SIGINT)
                break
        rest = process.stderr.read()
        assert process.wait() == 130
    assert f"everlong train --resume --out {tmp_path / 'run'}" in rest
    assert "Traceback" not in rest
