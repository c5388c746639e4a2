"""What a config declares as its reach is what gradients measure."""

from typing import Any

import pytest
import torch

from everlong.models import create_model, list_models
from everlong.testing.subject import stir_weights
from tests.parity.test_transformer_xl import farthest, influence

SIZES = {"vocab_size": 13, "d_model": 8, "n_heads": 2, "d_ff": 12}


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("transformer", {"n_layers": 1, "context": 1}),
        ("transformer", {"n_layers": 1, "context": 5}),
        ("transformer", {"n_layers": 3, "context": 4}),
        ("transformer-xl", {"n_layers": 1, "segment": 4, "mem_len": 0}),
        ("transformer-xl", {"n_layers": 2, "segment": 4, "mem_len": 4}),
        ("transformer-xl", {"n_layers": 2, "segment": 4, "mem_len": 6}),
        ("transformer-xl", {"n_layers": 3, "segment": 5, "mem_len": 3}),
        ("transformer-xl", {"n_layers": 2, "segment": 1, "mem_len": 7}),
        ("transformer-xl", {"n_layers": 2, "segment": 3, "mem_len": 6, "same_length": True}),
        ("transformer-xl", {"n_layers": 1, "segment": 3, "mem_len": 1, "same_length": True}),
    ],
    ids=str,
)
@pytest.mark.parametrize("training", [True, False])
def test_declared_reach_is_the_measured_reach(name: str, fields: dict[str, Any], training: bool) -> None:
    model = create_model(name, **SIZES, **fields).double().train(training)
    stir_weights(model, seed=3)
    seen = influence(model, torch.randint(13, (1, 40)))
    assert max(farthest(seen, t) for t in range(40)) == model.config.reach


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_recurrent_models_declare_no_bound_and_have_none(name: str) -> None:
    model = create_model(name, vocab_size=13, d_model=8, n_layers=1).double()
    assert model.config.reach is None
    seen = influence(model, torch.randint(13, (1, 30)))
    assert farthest(seen, 29) == 29


def test_every_causal_architecture_was_measured() -> None:
    assert set(list_models("causal")) == {"gru", "lstm", "transformer", "transformer-xl"}, "measure the new one here"
