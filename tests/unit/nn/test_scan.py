"""Recurrent layers against their one-by-one twins, and the cutting of chunks at documents and ends."""

import pytest
import torch
from torch import Tensor, nn

from everlong.clock import tick
from everlong.nn.scan import State, gru_layer, scan
from tests.reference.recurrent import gru_one_by_one, lstm_one_by_one

WIDTH, INPUT = 4, 3


def gru_weights() -> dict[str, Tensor]:
    sizes = {"w_ih": (3 * WIDTH, INPUT), "w_hh": (3 * WIDTH, WIDTH), "b_ih": (3 * WIDTH,), "b_hh": (3 * WIDTH,)}
    return {name: torch.randn(*size, dtype=torch.float64) for name, size in sizes.items()}


@pytest.mark.parametrize("time", [1, 2, 9])
def test_gru_layer_is_its_twin(time: int) -> None:
    x, h = torch.randn(2, time, INPUT, dtype=torch.float64), torch.randn(2, WIDTH, dtype=torch.float64)
    weights = gru_weights()
    found = gru_layer(x, h, **weights)
    for lane in range(2):
        expected = gru_one_by_one(x[lane], h[lane], weights)
        torch.testing.assert_close(found[lane], expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("time", [1, 5])
def test_gru_layer_gradients(time: int) -> None:
    x, h = torch.randn(2, time, INPUT, dtype=torch.float64), torch.randn(2, WIDTH, dtype=torch.float64)
    weights = gru_weights()
    names = list(weights)

    def run(x: Tensor, h: Tensor, *given: Tensor) -> Tensor:
        return gru_layer(x, h, **dict(zip(names, given, strict=True)))

    assert torch.autograd.gradcheck(run, [tensor.requires_grad_() for tensor in (x, h, *weights.values())])


def test_lstm_twin_is_torch() -> None:
    """The LSTM runs on torch's own cells; the equations and the gate order that its docstring states are theirs."""
    cells = nn.LSTM(INPUT, WIDTH, batch_first=True).double()
    weights = {
        f"{kind}_{way}": getattr(cells, f"{long}_{way}_l0")
        for kind, long in (("w", "weight"), ("b", "bias"))
        for way in ("ih", "hh")
    }
    x, h, c = torch.randn(6, INPUT).double(), torch.randn(WIDTH).double(), torch.randn(WIDTH).double()
    out, (_, last) = cells(x[None], (h[None, None], c[None, None]))
    expected, cell = lstm_one_by_one(x, h, c, weights)
    torch.testing.assert_close(out[0], expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(last[0, 0], cell, rtol=0, atol=1e-14)


class Adder:
    """A cell that adds up its inputs, and notes how long the stretches were that it got."""

    def __init__(self) -> None:
        self.stretches: list[int] = []

    def __call__(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        self.stretches.append(x.shape[1])
        sums = x.cumsum(dim=1) + state[0]
        return sums, (sums[:, -1:],)


def add_up(*, time: int, before: list[int], starts: list[tuple[int, int]] = [], lengths: list[int] | None = None):  # noqa: B006
    flags = torch.zeros(len(before), time, dtype=torch.bool)
    for lane, at in starts:
        flags[lane, at] = True
    real = None if lengths is None else torch.tensor(lengths)
    clock = tick(torch.tensor(before), time=time, starts=flags, lengths=real)
    run = Adder()
    out, (state,) = scan(run, torch.ones(len(before), time, 1), (torch.full((len(before), 1, 1), 100.0),), clock=clock)
    return out[..., 0].tolist(), state[:, 0, 0].tolist(), run.stretches


def test_a_chunk_without_resets_is_one_stretch() -> None:
    out, state, stretches = add_up(time=3, before=[5, 0])
    assert (out, state, stretches) == ([[101.0, 102.0, 103.0], [1.0, 2.0, 3.0]], [103.0, 3.0], [3])


def test_a_document_inside_the_chunk_begins_at_zero() -> None:
    out, state, stretches = add_up(time=4, before=[5, 5], starts=[(0, 2), (1, 0)])
    assert out == [[101.0, 102.0, 1.0, 2.0], [1.0, 2.0, 3.0, 4.0]]
    assert (state, stretches) == ([2.0, 4.0], [2, 2])


def test_lanes_that_end_early_or_idle_keep_their_state() -> None:
    out, state, stretches = add_up(time=5, before=[5, 5, 0], lengths=[0, 3, 5])
    assert (state, stretches) == ([100.0, 103.0, 5.0], [3, 2])
    assert out[1][:3] == [101.0, 102.0, 103.0]
    assert add_up(time=2, before=[5], lengths=[0])[1:] == ([100.0], [2])


def test_a_start_in_the_padding_resets_nothing() -> None:
    _, state, _ = add_up(time=4, before=[5], starts=[(0, 3)], lengths=[2])
    assert state == [102.0]
