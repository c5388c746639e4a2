"""GRU and LSTM against `torch.nn`: numbers, gradients, and the initial biases of the literature."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from everlong.models import LanguageModel, create_model

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}


def make(name: str, dtype: torch.dtype, **fields: Any) -> LanguageModel[Any]:
    return create_model(name, **{"vocab_size": 13, "d_model": 24, "n_layers": 2, **fields}).to(dtype)


def by_the_library(model: LanguageModel[Any], tokens: Tensor) -> Tensor:
    cells = copy.deepcopy(model.cells)
    return model.head.logits(cells(model.embedding(tokens))[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_layers", [1, 3])
@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_equal_to_torch_in_one_call_and_token_by_token(name: str, n_layers: int, dtype: torch.dtype) -> None:
    model = make(name, dtype, n_layers=n_layers)
    tokens = torch.randint(13, (3, 40))
    expected = by_the_library(model, tokens)
    torch.testing.assert_close(model(tokens)[0], expected, rtol=0, atol=TOLERANCE[dtype])
    pieces, memory = [], None
    for t in range(40):
        logits, memory = model(tokens[:, t : t + 1], memory)
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces, dim=1), expected, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_final_states_are_those_of_torch(name: str) -> None:
    model = make(name, torch.float64)
    tokens = torch.randint(13, (3, 17))
    _, memory = model(tokens)
    _, last = model.cells(model.embedding(tokens))
    states = last if name == "lstm" else (last,)
    for leaf, state in zip([memory.hidden, *([memory.cell] if name == "lstm" else [])], states, strict=True):
        torch.testing.assert_close(leaf.transpose(0, 1), state, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_gradients_are_those_of_torch(name: str) -> None:
    model = make(name, torch.float64)
    tokens, mixture = torch.randint(13, (3, 11)), torch.randn(3, 11, 13, dtype=torch.float64)
    cells = list(model.cells.parameters())
    found = torch.autograd.grad((model(tokens)[0] * mixture).sum(), cells)
    logits = model.head.logits(model.cells(model.embedding(tokens))[0])
    expected = torch.autograd.grad((logits * mixture).sum(), cells)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_ragged_lanes_end_with_the_state_of_their_last_real_token(name: str) -> None:
    model = make(name, torch.float64)
    tokens = torch.randint(13, (3, 9))
    _, memory = model(tokens, lengths=torch.tensor([9, 4, 1]))
    for lane, length in enumerate([9, 4, 1]):
        _, alone = model(tokens[lane : lane + 1, :length])
        torch.testing.assert_close(memory.hidden[lane], alone.hidden[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_detach_stops_credit_and_nothing_else_does(name: str) -> None:
    model = make(name, torch.float64)
    tokens = torch.randint(13, (1, 6))
    for cut in (True, False):
        kept: list[Tensor] = []
        handle = model.embedding.register_forward_hook(lambda _m, _g, out, kept=kept: kept.append(out))
        _, memory = model(tokens)
        _, memory = model(tokens, memory.detach() if cut else memory)
        logits, _ = model(tokens, memory)
        handle.remove()
        (gradient,) = torch.autograd.grad(logits.square().sum(), kept[:1], allow_unused=True)
        assert (gradient is None) == cut


def gate_bias(model: LanguageModel[Any], *, gate: int, layer: int = 0) -> Tensor:
    """The whole bias of a gate: torch has two vectors, which add up."""
    d = model.config.d_model
    both = getattr(model.cells, f"bias_ih_l{layer}") + getattr(model.cells, f"bias_hh_l{layer}")
    return both[gate * d : (gate + 1) * d].detach()


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize(("name", "gate", "default"), [("lstm", 1, 1.0), ("gru", 1, 0.0)])
def test_forget_bias_is_the_total(name: str, gate: int, default: float, layer: int) -> None:
    assert torch.equal(gate_bias(make(name, torch.float32), gate=gate, layer=layer), torch.full((24,), default))
    for total in (0.0, 1.0, 2.5):
        bias = gate_bias(make(name, torch.float32, forget_bias=total), gate=gate, layer=layer)
        assert torch.equal(bias, torch.full((24,), total))


@pytest.mark.parametrize(("longest", "median"), [(10, 0.833), (100, 0.980), (1000, 0.998)])
def test_chrono_biases_spread_over_time_scales(longest: int, median: float) -> None:
    """``b_f = log U[1, T - 1]``, ``b_i = -b_f`` (Tallec & Ollivier, 2018); medians of the gate are known."""
    lstm = make("lstm", torch.float32, d_model=2000, n_layers=1, chrono_max=longest)
    forget = gate_bias(lstm, gate=1)
    assert torch.equal(gate_bias(lstm, gate=0), -forget)
    gru = make("gru", torch.float32, d_model=2000, n_layers=1, chrono_max=longest)
    for bias in (forget, gate_bias(gru, gate=1)):
        assert float(bias.min()) >= 0
        assert float(bias.exp().max()) <= longest - 1
        assert float(bias.sigmoid().median()) == pytest.approx(median, abs=0.012)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_recurrent_weights_begin_orthogonal_gate_by_gate(name: str) -> None:
    model = make(name, torch.float32, d_model=24, n_layers=2, orthogonal=True)
    usual = make(name, torch.float32, d_model=24, n_layers=2)
    for layer in range(2):
        weight = getattr(model.cells, f"weight_hh_l{layer}").detach()
        gates = weight.split(24)
        for gate in gates:
            torch.testing.assert_close(gate @ gate.t(), torch.eye(24), rtol=0, atol=1e-5)
        assert not torch.allclose(gates[0], gates[1])
        assert not torch.equal(weight, getattr(usual.cells, f"weight_hh_l{layer}"))
