"""``everlong convert``, and its refusals."""

from pathlib import Path

import everlong
from tests.cli.support import CLI
from tests.pretrained_folders import LENGTH, write_folder


def test_an_encoder_of_others_becomes_a_run_that_can_be_measured(cli: CLI, book: Path, tmp_path: Path) -> None:
    folder, out = write_folder(tmp_path / "roberta", "roberta"), tmp_path / "run"
    ended = cli("convert", folder, "--out", out, "--to", "longformer-encoder", "--max-length", 64, "--json")
    assert ended.code == 0
    assert ended.answer["left_out"] == ["pooler.dense"]
    assert (ended.answer["model"], ended.answer["new_head"]) == ("longformer-encoder", False)
    assert ended.answer["tokenizer"] == "byte-pairs"
    for words in ("longformer-encoder: ", "left out, having no place in it: pooler.dense", f"everlong eval {out}"):
        assert words in ended.err
    assert "new" not in ended.err.replace("new_head", "")
    measured = cli("eval", out, "--data", book, "--json")
    assert measured.code == 0
    assert measured.answer["chunk"] == 64
    assert 0 < measured.answer["bits_per_byte"] < 100


def test_a_new_head_is_said_and_so_is_what_bytes_mean(cli: CLI, book: Path, tmp_path: Path) -> None:
    folder, out = write_folder(tmp_path / "bert", "bert", head=False), tmp_path / "run"
    ended = cli("convert", folder, "--out", out)
    assert ended.code == 0
    assert ended.out == ""
    assert "the head for hidden tokens is new, since the file has none" in ended.err
    assert everlong.load(out).config.n_positions == LENGTH  # pyright: ignore
    measured = cli("eval", out, "--data", book)
    assert measured.code == 0
    assert "wordpiece writes this text its own way" in measured.err


def test_one_goes_into_an_encoder_of_sections(cli: CLI, book: Path, tmp_path: Path) -> None:
    folder, out = write_folder(tmp_path / "roberta", "roberta"), tmp_path / "run"
    ended = cli("convert", folder, "--out", out, "--to", "hierarchical-encoder")
    assert ended.code == 0, ended.err
    assert "hierarchical-encoder: " in ended.err
    measured = cli("eval", out, "--data", book, "--json")
    assert measured.code == 0, measured.err
    assert measured.answer["chunk"] == 4096
    data = tmp_path / "texts.jsonl"
    data.write_text('{"text": "at sea", "label": "sea"}\n{"text": "on land", "label": "land"}', encoding="utf-8")
    words = ["--task", "classify", "--data", data, "--out", tmp_path / "told", "--steps", 1]
    ended = cli("train", "hierarchical-encoder", "--from", out, *words)
    assert ended.code == 0, ended.err
    assert "begins with the weights of" in ended.err


def test_refusals_leave_nothing_behind(cli: CLI, tmp_path: Path) -> None:
    folder, out = write_folder(tmp_path / "bert", "bert"), tmp_path / "run"
    cli("convert", tmp_path / "none", "--out", out).require_refusal("there is no folder", "model.safetensors")
    cli("convert", folder, "--out", out, "--to", "gru").require_refusal("to='gru' is nothing that can be converted to")
    cli("convert", folder, "--out", out, "--max-length", 64).require_refusal("are for a longformer-encoder")
    (folder / "model.safetensors").write_bytes(b"short")
    cli("convert", folder, "--out", out).require_refusal("is cut short, or no file of tensors")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    cli("convert", folder, "--out", out).require_refusal("only pytorch_model.bin", "save_pretrained")
    assert not out.exists()


def test_a_folder_in_use_is_left_alone(cli: CLI, trained: Path, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "bert", "bert")
    cli("convert", folder, "--out", trained).require_refusal("holds a run already")
    cli("convert", folder, "--out", folder).require_refusal("is not empty: it holds 'model.safetensors'")


def test_a_converted_run_has_no_training_to_resume(cli: CLI, book: Path, tmp_path: Path) -> None:
    folder, out = write_folder(tmp_path / "bert", "bert"), tmp_path / "run"
    assert cli("convert", folder, "--out", out).code == 0
    for more in ([], ["--data", book]):
        cli("train", "--resume", "--out", out, *more).require_refusal("was converted")
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["checkpoints", "config.json", "tokenizer.json", "train.json", ".lock"]
    )
