"""Encoders inside a hierarchical one: they read each section as a text of its own, and once trained as before."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import everlong
from everlong.errors import ConfigError
from everlong.models import Encoder, create_model, list_models
from everlong.models.hierarchical_encoder import HierarchicalEncoder, HierarchicalEncoderConfig
from everlong.models.sectioned import SectionedEncoder
from everlong.testing.subject import stir_weights
from tests.pretrained_folders import CONFIGS, LENGTH, write_folder

WHOLE = [name for name in list_models("encoder") if not isinstance(create_model(name, d_model=8), SectionedEncoder)]


def around(name: str, **fields: Any) -> HierarchicalEncoder:
    """With another encoder inside that has learned something."""
    encoder: Encoder = create_model(name, vocab_size=11, d_model=8).double()
    stir_weights(encoder, seed=1)
    return HierarchicalEncoder.around(encoder, segment=7, n_heads=2, **fields)


def read_alone(encoder: Encoder, sections: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Hidden states and vectors of sections that are texts; the first token is global where one may be."""
    hidden, vectors = [], []
    for section in sections:
        marks = {"global_mask": torch.arange(section.shape[1])[None] == 0} if encoder.has_global_tokens else {}
        hidden.append(encoder(section, **marks))
        vectors.append(encoder.pool(section, **marks))
    return torch.cat(hidden, dim=1), torch.stack(vectors).mean(dim=0)


@pytest.mark.parametrize("name", WHOLE)
def test_sections_are_read_as_texts_of_their_own(name: str) -> None:
    """Tokens begin with these states; to see the vectors, D must rest, too."""
    model, tokens = around(name), torch.randint(11, (1, 17))
    assert model.inside is not None
    hidden, vector = read_alone(model.inside, [tokens[:, :7], tokens[:, 7:14], tokens[:, 14:]])
    torch.testing.assert_close(model(tokens), hidden, rtol=0, atol=1e-12)
    torch.testing.assert_close(model.logits(tokens), model.inside.head.logits(hidden), rtol=0, atol=1e-12)
    for layer in model.layers:
        layer.add_nothing()  # type: ignore[operator]
    torch.testing.assert_close(model.pool(tokens), vector, rtol=0, atol=1e-12)


def test_all_layers_learn_although_some_begin_at_zero() -> None:
    model, tokens = around("bert", layout="SDS", n_layers=2), torch.randint(11, (1, 17))
    before = model(tokens)
    optimizer = torch.optim.SGD(model.layers.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model.token_losses(tokens, tokens).sum().backward()
        optimizer.step()
    assert all(bool(p.grad is not None and p.grad.any()) for p in model.layers.parameters())
    assert float((model(tokens) - before).detach().abs().max()) > 1e-3


@pytest.mark.parametrize(("layout", "n_layers", "others"), [("SDD", 2, False), ("SDS", 2, True), ("SD", 2, True)])
def test_tokens_learn_of_other_sections_where_s_comes_after_d(layout: str, n_layers: int, others: bool) -> None:
    model = around("bert", layout=layout, n_layers=n_layers)
    stir_weights(model, seed=3)
    tokens = torch.randint(10, (1, 14))
    other = tokens.clone()
    other[0, 0] += 1
    gap = (model(tokens) - model(other)).detach().abs().amax(dim=-1)[0] > 1e-9
    assert [bool(gap[:7].any()), bool(gap[7:].any())] == [True, others]
    assert not torch.equal(model.pool(tokens), model.pool(other))


def test_n_layers_are_those_after_the_encoder() -> None:
    assert [HierarchicalEncoderConfig(inside="bert", n_layers=n).kinds for n in (1, 2, 4)] == ["D", "DS", "DSDS"]
    assert HierarchicalEncoderConfig(inside="bert", n_layers=3, layout="SSD").kinds == "SDS"
    assert len(around("bert", n_layers=3).layers) == 3


def test_a_copy_is_inside_and_the_encoder_stays_as_it_is() -> None:
    encoder: Encoder = create_model("bert", vocab_size=11, d_model=8, dropout=0.3).eval()
    model = HierarchicalEncoder.around(encoder, dropout=0.1)
    assert (model.training, model.dtype, model.config.dropout) == (False, torch.float32, 0.1)
    assert model.inside is not None
    assert model.inside.config == encoder.config.replace(dropout=0.1)
    assert model.inside.weights_digest() == encoder.weights_digest()
    ours, theirs = dict(model.inside.named_parameters()), dict(encoder.named_parameters())
    assert all(ours[name].data_ptr() != theirs[name].data_ptr() for name in theirs)
    with pytest.raises(ConfigError, match=r"the encoder inside has the vocab_size of the one around it, which is 12; "):
        HierarchicalEncoder.around(encoder, vocab_size=12)
    with pytest.raises(ConfigError, match=r"inside = 'han' does not fit: that is no encoder that reads a text in one"):
        HierarchicalEncoder.around(create_model("han", vocab_size=11, d_model=8))


def test_fields_inside_are_whole_and_survive_json() -> None:
    config = HierarchicalEncoderConfig(inside="longformer-encoder", n_layers=1, inside_config={"window": (8, 16, 8, 8)})
    assert config.inside_config["window"] == [8, 16, 8, 8]
    assert config.inside_config["n_positions"] == 4096
    assert not {"vocab_size", "d_model", "dropout"} & config.inside_config.keys()
    again = HierarchicalEncoderConfig.parse(json.loads(config.to_json()))
    assert again == config
    assert again.new_encoder().config.windows == (8, 16, 8, 8)  # type: ignore[union-attr]
    assert config.replace(d_model=64, dropout=0.1).new_encoder().config.d_model == 64  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_converted_encoder_inside_reads_sections_as_before(kind: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / kind, kind)
    made, model = everlong.convert(folder), everlong.convert(folder, to="hierarchical-encoder").model
    assert isinstance(model, HierarchicalEncoder)
    assert (model.config.segment, model.config.kinds, model.config.n_heads, model.config.d_ff) == (LENGTH, "DS", 2, 20)
    tokens = torch.randint(CONFIGS[kind]["vocab_size"], (1, 2 * LENGTH + 3))
    hidden, _ = read_alone(made.model, list(tokens.split(LENGTH, dim=1)))
    torch.testing.assert_close(model(tokens), hidden, rtol=0, atol=1e-5)
    torch.testing.assert_close(model.logits(tokens), made.model.head.logits(hidden), rtol=0, atol=1e-4)


def test_a_converted_one_around_a_long_one_is_kept_in_a_folder(tmp_path: Path) -> None:
    made = everlong.convert(write_folder(tmp_path / "bert", "bert"), to="longformer-encoder", max_length=40)
    long = replace(made, model=HierarchicalEncoder.around(made.model, layout="SDD", n_layers=2, n_heads=2))
    long.save(tmp_path / "run")
    run = everlong.load(tmp_path / "run", segment=20)
    assert isinstance(run.model, HierarchicalEncoder)
    assert run.config == long.model.config.replace(segment=20)
    assert run.model.weights_digest() == long.model.weights_digest()
    tokens = torch.randint(CONFIGS["bert"]["vocab_size"], (2, 50))
    assert torch.equal(run.model(tokens), long.model.with_config(segment=20)(tokens))
