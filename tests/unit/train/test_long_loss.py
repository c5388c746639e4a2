from typing import Any

import pytest
import torch

from everlong.data import Chunk
from everlong.memory import Memory
from everlong.models import create_model, list_models
from everlong.models.base import AnyLanguageModel
from everlong.train.long_loss import LongLoss, long_weights
from everlong.train.stream_loss import StreamLoss
from tests.laws.cases import CASES
from tests.reference.long_loss import weighted_loss
from tests.unit.train.conftest import tiny
from tests.unit.train.test_stream_loss import chunks, gradients

USUAL = {name: next(fields for kind, fields in CASES.values() if kind == name) for name in list_models("causal")}
"""A small config of every causal model."""


def prepared(architecture: str, **fields: Any) -> tuple[AnyLanguageModel, Memory, list[Chunk]]:
    """A model, a memory that has read something, and what comes next; a document begins in the second lane."""
    torch.manual_seed(0)
    model: Any = create_model(architecture, **{**USUAL[architecture], "vocab_size": 256, **fields}).double()
    for parameter in model.parameters():
        # Far from where models begin, so that what is remembered matters.
        parameter.data.add_(torch.randn_like(parameter), alpha=0.3)
    first, *window = chunks(3, time=6)
    window[1].starts[1, 2] = True
    _, memory, _ = StreamLoss(model, precision="float32")([first], model.init_memory(2))
    return model, memory, window


@pytest.mark.parametrize("architecture", list_models("causal"))
def test_the_gradient_is_that_of_the_weighted_loss_and_the_value_is_plain(architecture: str) -> None:
    model, memory, window = prepared(architecture)
    plain, _, _ = StreamLoss(model, precision="float32")(window, memory)
    found, after, aux = LongLoss(model, precision="float32", largest=1.02)(window, memory)
    assert torch.equal(found, plain)
    assert not any(leaf.requires_grad for leaf in after.flatten().values())
    found.backward()
    gradient = gradients(model)
    model.zero_grad()
    expected, weights = weighted_loss(model, window, memory, largest=1.02)
    expected.backward()
    torch.testing.assert_close(gradient, gradients(model), rtol=1e-8, atol=1e-11)
    assert max(weights) == 1.02
    assert min(weights) < 1.0
    assert aux.keys() == StreamLoss(model, precision="float32")(window, memory)[2].keys()


def test_a_token_whose_document_begins_in_the_chunk_has_weight_one_under_dropout_too() -> None:
    model, _, window = prepared("transformer", dropout=0.5)
    states: list[torch.Tensor] = []
    found: list[torch.Tensor] = []
    for loss in (StreamLoss(model, precision="float32"), LongLoss(model, precision="float32", largest=5.0)):
        torch.manual_seed(1)
        model.zero_grad()
        loss(window[:1], model.init_memory(2))[0].backward()
        states.append(torch.get_rng_state())
        found.append(gradients(model))
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-13)
    assert torch.equal(states[0], states[1]), "the short reading draws nothing of its own"


def test_weights_are_cut_off_and_begin_with_the_second_half() -> None:
    full, short = torch.tensor([[1.0] * 5]), torch.tensor([[9.0, 9.0, 9.0, 1.0, 0.0]])
    assert long_weights(full, short, largest=5.0).tolist() == [[1.0, 1.0, 5.0, 1.0, pytest.approx(0.3679, abs=1e-4)]]


def test_what_is_measured_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, memory, window = prepared("gru")
    seen, read = list[int](), model.token_losses

    def counted(*given: Any, **named: Any) -> Any:
        seen.append(1)
        return read(*given, **named)

    monkeypatch.setattr(model, "token_losses", counted)
    loss = LongLoss(model, precision="float32", largest=5.0)
    loss(window, memory)
    assert len(seen) == 4
    seen.clear()
    model.eval()
    loss(window, None)
    assert len(seen) == 2


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_low_precision_leaves_the_loss_in_float32_and_reaches_every_weight(precision: str) -> None:
    model = tiny("transformer-xl")
    summed, _, _ = LongLoss(model, precision=precision, largest=5.0)(chunks(2), model.init_memory(2))
    summed.backward()
    assert summed.dtype == torch.float32
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
