"""What a config declares as its reach is what gradients measure."""

from typing import Any

import pytest
import torch

from everlong.models import create_model, list_models
from everlong.testing.subject import stir_weights
from tests.parity.test_transformer_xl import farthest, influence

SIZES = {"vocab_size": 13, "d_model": 8, "n_heads": 2, "d_ff": 12}
INTERLEAVED = {"heads": "interleaved", "sub_blocks": 1}


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("sparse-transformer", {"n_layers": 2, "pattern": "strided", "stride": 3, "context": 9}),
        ("sparse-transformer", {"n_layers": 2, "pattern": "strided", "stride": 5, "context": 5}),
        (
            "sparse-transformer",
            {"n_layers": 3, "pattern": "strided", "stride": 2, "context": 8, "heads": "interleaved"},
        ),
        ("sparse-transformer", {"n_layers": 2, "stride": 4, "context": 12, "summary": 1, "sub_blocks": 2}),
        ("sparse-transformer", {"n_layers": 2, "stride": 4, "context": 12, "summary": 1, "heads": "split"}),
        ("sparse-transformer", {"n_layers": 3, "stride": 4, "context": 12, "summary": 2, **INTERLEAVED}),
        ("sparse-transformer", {"n_layers": 2, "stride": 4, "context": 4, "summary": 1, **INTERLEAVED}),
        ("transformer", {"n_layers": 1, "context": 1}),
        ("transformer", {"n_layers": 1, "context": 5}),
        ("transformer", {"n_layers": 3, "context": 4}),
        ("longformer", {"n_layers": 2, "window": 4, "n_global": 0}),
        ("longformer", {"n_layers": 3, "window": (1, 3, 2), "dilation": (1, (1, 4), 3), "n_global": 0}),
        ("reformer", {"n_layers": 1, "layers": ("lsh",), "context": 7, "bucket_size": 9, "n_buckets": 2}),
        ("reformer", {"n_layers": 3, "window": 3, "context": 6, "bucket_size": 9, "n_buckets": 2}),
        ("reformer", {"n_layers": 2, "layers": ("lsh",), "context": 8, "bucket_size": 2, "n_buckets": 8}),
        ("transformer-xl", {"n_layers": 1, "segment": 4, "mem_len": 0}),
        ("transformer-xl", {"n_layers": 2, "segment": 4, "mem_len": 4}),
        ("transformer-xl", {"n_layers": 2, "segment": 4, "mem_len": 6}),
        ("transformer-xl", {"n_layers": 3, "segment": 5, "mem_len": 3}),
        ("transformer-xl", {"n_layers": 2, "segment": 1, "mem_len": 7}),
        ("transformer-xl", {"n_layers": 2, "segment": 3, "mem_len": 6, "same_length": True}),
        ("transformer-xl", {"n_layers": 1, "segment": 3, "mem_len": 1, "same_length": True}),
        ("compressive-transformer", {"n_layers": 1, "segment": 4, "mem_len": 4, "cmem_len": 2, "compression_rate": 2}),
        ("compressive-transformer", {"n_layers": 2, "segment": 3, "mem_len": 4, "cmem_len": 2, "compression_rate": 4}),
        (
            "compressive-transformer",
            {
                "n_layers": 2,
                "segment": 4,
                "mem_len": 5,
                "cmem_len": 1,
                "compression_rate": 3,
                "compression": "max-pool",
            },
        ),
        (
            "compressive-transformer",
            {
                "n_layers": 2,
                "segment": 2,
                "mem_len": 3,
                "cmem_len": 1,
                "compression_rate": 3,
                "compression": "dilated-conv",
            },
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("training", [True, False])
def test_declared_reach_is_the_measured_reach(name: str, fields: dict[str, Any], training: bool) -> None:
    model = create_model(name, **SIZES, **fields).double().train(training)
    stir_weights(model, seed=3)
    seen = influence(model, torch.randint(13, (1, 40)))
    assert max(farthest(seen, t) for t in range(40)) == model.config.reach


@pytest.mark.parametrize("name", ["dnc", "gru", "lstm", "mann", "ntm"])
def test_recurrent_models_declare_no_bound_and_have_none(name: str) -> None:
    model = create_model(name, vocab_size=13, d_model=8, n_layers=1).double()
    assert model.config.reach is None
    seen = influence(model, torch.randint(13, (1, 30)))
    assert farthest(seen, 29) == 29


def test_summaries_declare_no_bound_and_have_none() -> None:
    fields = {"n_layers": 2, "segment": 4, "n_paragraphs": 1}
    model = create_model("hierarchical-transformer", **SIZES, **fields).double()
    assert model.config.reach is None
    assert farthest(influence(model, torch.randint(13, (1, 30))), 29) == 29


def test_most_used_compression_declares_no_bound_and_shows_gradients_what_it_kept() -> None:
    """What is kept follows from attention that reaches back without end, through choices that have no gradient."""
    fields = {"n_layers": 1, "segment": 4, "mem_len": 4, "cmem_len": 4, "compression_rate": 2}
    model = create_model("compressive-transformer", **SIZES, **fields, compression="most-used").double()
    assert model.config.reach is None
    seen = influence(model, torch.randint(13, (1, 30)))[29]
    assert int(seen[:16].sum()) == 0
    assert [int(part.sum()) for part in seen[16:24].split(4)] == [2, 2]
    assert bool(seen[24:].all())


@pytest.mark.parametrize("n_global", [1, 3])
def test_pins_are_seen_from_anywhere_and_what_lies_between_is_not(n_global: int) -> None:
    fields = {"n_layers": 2, "window": (2, 4), "n_global": n_global}
    model = create_model("longformer", **SIZES, **fields).double()
    stir_weights(model, seed=3)
    assert model.config.reach is None
    seen = influence(model, torch.randint(13, (1, 30)))
    band = model.config.replace(n_global=0).reach
    assert seen[29].nonzero().flatten().tolist() == [*range(n_global), *range(29 - band, 30)]


def test_every_causal_architecture_was_measured() -> None:
    assert set(list_models("causal")) == {
        "compressive-transformer",
        "dnc",
        "gru",
        "hierarchical-transformer",
        "longformer",
        "lstm",
        "mann",
        "ntm",
        "reformer",
        "sparse-transformer",
        "transformer",
        "transformer-xl",
    }, "measure the new one here"
