"""Converted encoders against a twin that reads the published names, and the long ones against the short ones."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import everlong
from everlong.errors import ConfigError
from everlong.models.bert import Bert
from everlong.models.longformer_encoder import LongformerEncoder
from tests.pretrained_folders import CONFIGS, LENGTH, WORDS, random_weights, write_folder
from tests.reference.pretrained import hidden_states, hidden_token_logits

KINDS = list(CONFIGS)


def texts(kind: str, time: int = LENGTH) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randint(CONFIGS[kind]["vocab_size"], (3, time), generator=rng)


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_states_and_logits_are_the_twins(kind: str, tmp_path: Path) -> None:
    """In float64, where an epsilon of the wrong size or a row of positions too early would show."""
    weights = random_weights(CONFIGS[kind])
    model = everlong.convert(write_folder(tmp_path / kind, kind, weights=weights)).model.double()
    tokens, lengths = texts(kind), torch.tensor([LENGTH, 1, 7])
    hidden, logits = model(tokens, lengths=lengths), model.logits(tokens, lengths=lengths)
    for lane, length in enumerate(lengths.tolist()):
        expected = hidden_states(weights, CONFIGS[kind], tokens[lane, :length].tolist())
        torch.testing.assert_close(hidden[lane, :length], expected, rtol=0, atol=1e-6)
        asked = hidden_token_logits(weights, CONFIGS[kind], expected[-1])
        torch.testing.assert_close(logits[lane, length - 1], asked, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_what_hides_a_token_is_the_mask_of_the_vocabulary(kind: str, tmp_path: Path) -> None:
    made = everlong.convert(write_folder(tmp_path / kind, kind))
    named, ours = texts(kind), texts(kind)
    named[:, 3], ours[:, 3] = made.tokenizer.mask, made.model.mask_token
    assert made.tokenizer.mask != made.model.mask_token == CONFIGS[kind]["vocab_size"]
    assert torch.equal(made.model(ours), made.model(named))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("window", [None, 2 * LENGTH, 100])
def test_a_long_one_reads_short_texts_as_the_short_one_did(kind: str, window: int | None, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / kind, kind)
    short = everlong.convert(folder).model
    long = everlong.convert(folder, to="longformer-encoder", max_length=40, window=window).model
    first = torch.zeros(3, LENGTH, dtype=torch.bool)
    first[:, 0] = True
    tokens, lengths = texts(kind), torch.tensor([LENGTH, 1, 7])
    expected, logits = short(tokens, lengths=lengths), short.logits(tokens, lengths=lengths)
    for mask in (None, first, torch.ones_like(first)):
        torch.testing.assert_close(long(tokens, lengths=lengths, global_mask=mask), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(long.logits(tokens, lengths=lengths), logits, rtol=0, atol=1e-5)


def test_the_papers_window_changes_texts_that_it_does_not_cover(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "bert", "bert")
    short, long = everlong.convert(folder), everlong.convert(folder, to="longformer-encoder", window=LENGTH)
    found, expected = long.model(texts("bert")), short.model(texts("bert"))
    assert float((found - expected).detach().abs().max()) > 1e-2
    covered = texts("bert", LENGTH // 2 + 1)
    torch.testing.assert_close(long.model(covered), short.model(covered), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_positions_are_copied_again_and_again(kind: str, tmp_path: Path) -> None:
    """A last copy may be a part of one, and each may learn to differ."""
    folder = write_folder(tmp_path / kind, kind)
    short, long = (
        places(everlong.convert(folder, **how).model) for how in ({}, {"to": "longformer-encoder", "max_length": 41})
    )
    assert (len(short), len(long)) == (LENGTH, 41)
    for k in range(41):
        assert torch.equal(long[k], short[k % LENGTH])
    assert long[0].data_ptr() != long[LENGTH].data_ptr()


def test_global_projections_are_copies(tmp_path: Path) -> None:
    model = everlong.convert(write_folder(tmp_path / "bert", "bert"), to="longformer-encoder").model
    assert isinstance(model, LongformerEncoder)
    for layer in model.layers:
        ours, theirs = layer.project_global, layer.project
        assert torch.equal(ours.weight, theirs.weight)
        assert torch.equal(ours.bias, theirs.bias)
        assert ours.weight.data_ptr() != theirs.weight.data_ptr()


def test_what_is_long_by_default(tmp_path: Path) -> None:
    config: Any = everlong.convert(write_folder(tmp_path / "bert", "bert"), to="longformer-encoder").model.config
    assert (config.n_positions, config.window, config.norm, config.positions) == (4096, 2 * LENGTH, "post", "learned")


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoder_without_a_head_gets_a_new_one(kind: str, tmp_path: Path) -> None:
    folder, state = write_folder(tmp_path / kind, kind, head=False), torch.get_rng_state()
    made, again = everlong.convert(folder), everlong.convert(folder)
    assert torch.equal(torch.get_rng_state(), state)
    assert made.new_head
    assert made.left_out == ("pooler.dense",)
    assert made.model.weights_digest() == again.model.weights_digest()
    whole = everlong.convert(write_folder(tmp_path / "whole", kind))
    assert not whole.new_head
    assert whole.left_out == (("cls.seq_relationship", "pooler.dense") if kind == "bert" else ("pooler.dense",))


def test_names_and_types_of_older_files(tmp_path: Path) -> None:
    """Gamma and beta of the first BERT, no prefix, half precision, a table of the head that repeats the words."""
    weights = {name: tensor.half() for name, tensor in random_weights(CONFIGS["bert"]).items()}
    expected = everlong.convert(write_folder(tmp_path / "new", "bert", weights=weights)).model
    words = weights["embeddings.word_embeddings.weight"]
    older = {name.replace("LayerNorm.weight", "LayerNorm.gamma"): tensor for name, tensor in weights.items()}
    older = {name.replace("LayerNorm.bias", "LayerNorm.beta"): tensor for name, tensor in older.items()}
    older["cls.predictions.decoder.bias"] = older.pop("cls.predictions.bias")
    older |= {"cls.predictions.decoder.weight": words.clone(), "embeddings.position_ids": torch.arange(LENGTH)[None]}
    made = everlong.convert(write_folder(tmp_path / "old", "bert", weights=older))
    assert made.model.dtype == torch.float32
    assert made.model.weights_digest() == expected.weights_digest()
    assert made.left_out == ("cls.seq_relationship", "pooler.dense")
    older["cls.predictions.decoder.weight"][len(WORDS) // 2] += 1
    with pytest.raises(ConfigError, match=r"guesses hidden tokens by a table that is not the one it reads by"):
        everlong.convert(write_folder(tmp_path / "untied", "bert", weights=older))


def places(model: Any) -> Tensor:
    assert isinstance(model, Bert | LongformerEncoder)
    assert model.places is not None
    return model.places.weight
