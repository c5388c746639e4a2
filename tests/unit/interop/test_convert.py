"""A converted encoder as a run, and folders that cannot be converted."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import everlong
from everlong.data import Document, TokenStore
from everlong.errors import ConfigError, DamagedFile, DataError, RunError
from everlong.models import Encoder
from everlong.train import TrainConfig, train
from tests.pretrained_folders import CONFIGS, LENGTH, WORDS, random_weights, write_folder


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("to", ["bert", "longformer-encoder"])
def test_saved_it_is_a_run(kind: str, to: Any, tmp_path: Path) -> None:
    made = everlong.convert(write_folder(tmp_path / kind, kind), to=to)
    made.save(tmp_path / "run")
    run = everlong.load(tmp_path / "run")
    assert run.model.weights_digest() == made.model.weights_digest()
    assert (run.config, run.checkpoint.step) == (made.model.config, 0)
    assert run.tokenizer.digest == made.tokenizer.digest
    with pytest.raises(RunError, match="holds a run already"):
        made.save(tmp_path / "run")


def test_it_learns_on_as_any_encoder(tmp_path: Path) -> None:
    made = everlong.convert(write_folder(tmp_path / "bert", "bert"), to="longformer-encoder", max_length=32)
    store = TokenStore.build([Document("a", "the ships sailed at sea, " * 40)], made.tokenizer, tmp_path / "store")
    config = TrainConfig(task="mlm", steps=40, lanes=4, chunk=32, lr=0.01, warmup=2, eval_every=20)
    result = train(made.model, store, store, config, tmp_path / "run", tokenizer=made.tokenizer)
    assert result.best_bits is not None
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["valid_loss"] for line in lines if "valid_loss" in line]
    assert losses[-1] < losses[0]


def test_vocab_txt_does_for_word_pieces(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "bert", "bert")
    whole = everlong.convert(folder).tokenizer
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    assert everlong.convert(folder).tokenizer.digest == whole.digest
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false, "tokenize_chinese_chars": true}')
    cased = everlong.convert(folder).tokenizer
    assert cased.decode(cased.encode("The ship")) == " [UNK] ship"
    (folder / "tokenizer_config.json").write_text("[1")
    with pytest.raises(DamagedFile, match=r"tokenizer_config\.json cannot be read as an object of JSON"):
        everlong.convert(folder)


def test_where_texts_may_be_long_sizes_must_fit(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "bert", "bert")
    with pytest.raises(ConfigError, match=r"to='longformer' is nothing .* Did you mean 'longformer-encoder'\?"):
        everlong.convert(folder, to="longformer")  # pyright: ignore
    for given in ({"max_length": 40}, {"window": 8}):
        with pytest.raises(ConfigError, match=r"max_length and window are for a longformer-encoder, and to='bert'"):
            everlong.convert(folder, **given)
    with pytest.raises(ConfigError, match=rf"max_length=5 is shorter than the {LENGTH} tokens that .*bert reads"):
        everlong.convert(folder, to="longformer-encoder", max_length=5)
    with pytest.raises(ConfigError, match=r"window=7 of layer 0 cannot be halved"):
        everlong.convert(folder, to="longformer-encoder", window=7)
    with pytest.raises(ConfigError, match=r"window"):
        everlong.convert(folder, to="longformer-encoder", window=0)


def test_a_roberta_that_does_not_say_what_pads_begins_where_all_do(tmp_path: Path) -> None:
    said, unsaid = write_folder(tmp_path / "said", "roberta"), write_folder(tmp_path / "unsaid", "roberta")
    fields = json.loads((unsaid / "config.json").read_text())
    for padding in ({}, {"pad_token_id": None}):
        silent = {name: value for name, value in fields.items() if name != "pad_token_id"} | padding
        (unsaid / "config.json").write_text(json.dumps(silent))
        assert everlong.convert(unsaid).model.weights_digest() == everlong.convert(said).model.weights_digest()


def test_a_folder_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no folder .*none\. Give one with config\.json"):
        everlong.convert(tmp_path / "none")


def test_pickles_are_not_read(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "bert", "bert")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    message = (
        r"has no model\.safetensors: it holds only pytorch_model\.bin, and Everlong reads neither .*save_pretrained"
    )
    with pytest.raises(DataError, match=message):
        everlong.convert(folder)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(DataError, match="it holds no weights"):
        everlong.convert(folder)


def test_a_file_cut_short_is_damaged(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "bert", "bert")
    whole = (folder / "model.safetensors").read_bytes()
    for end in (len(whole) - 1, 100, 3, 0):
        (folder / "model.safetensors").write_bytes(whole[:end])
        with pytest.raises(DamagedFile, match=r"model\.safetensors is cut short, or no file of tensors"):
            everlong.convert(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gpt2"}, r"config\.json says model_type='gpt2'; what can be converted is bert or roberta"),
        ({"model_type": None}, "says model_type=None"),
        ({"hidden_size": None}, r"config\.json describes an encoder that cannot be converted: .*'hidden_size'"),
        ({"hidden_act": "relu"}, "hidden_act = 'relu' does not fit"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type = 'relative_key' does not fit"),
        ({"is_decoder": True}, "is_decoder = True does not fit"),
        ({"num_attention_heads": 3}, "d_model=16 does not divide into n_heads=3"),
    ],
    ids=str,
)
def test_other_models_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        everlong.convert(write_folder(tmp_path / "bert", "bert", **changes))


def test_a_roberta_without_positions_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "roberta", "roberta", max_position_embeddings=2)
    with pytest.raises(ConfigError, match="n_positions = 0 does not fit"):
        everlong.convert(folder)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "\x00"])
def test_a_config_that_is_no_json(text: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "bert", "bert")
    (folder / "config.json").write_text(text)
    with pytest.raises(DamagedFile, match=r"config\.json is no JSON"):
        everlong.convert(folder)
    (folder / "config.json").unlink()
    with pytest.raises(DamagedFile, match=r"^cannot read .*config\.json: No such file or directory\. Check the"):
        everlong.convert(folder)


def test_a_config_that_is_no_object(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "bert", "bert")
    (folder / "config.json").write_text("3")
    with pytest.raises(DamagedFile, match=r"config\.json is JSON, but no object of it"):
        everlong.convert(folder)


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    for n, name in enumerate(["encoder.layer.1.attention.self.key.bias", "embeddings.LayerNorm.weight"]):
        weights = random_weights(CONFIGS["bert"])
        del weights[name]
        with pytest.raises(DamagedFile, match=rf"has no tensor {name}, which a bert needs"):
            everlong.convert(write_folder(tmp_path / str(n), "bert", weights=weights))


def test_half_a_head_is_no_new_head(tmp_path: Path) -> None:
    weights = random_weights(CONFIGS["roberta"])
    del weights["lm_head.bias"]
    with pytest.raises(DamagedFile, match=r"has no tensor lm_head\.decoder\.bias, which a roberta needs"):
        everlong.convert(write_folder(tmp_path / "roberta", "roberta", weights=weights))


def test_a_tensor_of_another_shape_is_named(tmp_path: Path) -> None:
    message = (
        r"has encoder\.layer\.0\.intermediate\.dense\.weight of shape \(20, 16\), and config\.json says \(24, 16\)"
    )
    with pytest.raises(DamagedFile, match=message):
        everlong.convert(write_folder(tmp_path / "bert", "bert", intermediate_size=24))


def test_a_vocabulary_must_be_there_and_fit(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "bert", "bert")
    described = json.loads((folder / "tokenizer.json").read_text())
    described["model"]["vocab"]["more"] = len(WORDS)
    (folder / "tokenizer.json").write_text(json.dumps(described))
    with pytest.raises(DamagedFile, match=rf"has {len(WORDS) + 1} tokens and vectors for {len(WORDS)} of them"):
        everlong.convert(folder)
    described["model"]["vocab"]["more"] = len(WORDS) + 7
    (folder / "tokenizer.json").write_text(json.dumps(described))
    with pytest.raises(DamagedFile, match=rf"has {len(WORDS) + 1} tokens whose ids are not 0 to {len(WORDS)}"):
        everlong.convert(folder)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(DamagedFile, match=r"tokenizer\.json describes no tokenizer"):
        everlong.convert(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(DataError, match=r"has neither tokenizer\.json nor vocab\.txt"):
        everlong.convert(folder)
    (folder / "vocab.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DamagedFile, match=r"vocab\.txt describes no tokenizer"):
        everlong.convert(folder)


def test_what_is_converted_is_an_encoder_in_evaluation(tmp_path: Path) -> None:
    made = everlong.convert(write_folder(tmp_path / "bert", "bert"))
    assert isinstance(made.model, Encoder)
    assert not made.model.training
    tokens = torch.randint(len(WORDS), (1, 5))
    assert torch.equal(made.model(tokens), made.model(tokens))
    assert made.model.config.dropout == 0.1
