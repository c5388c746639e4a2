"""Addressing by place: nothing moves, all moves round the circle, powers of very small weights, and derivatives."""

import pytest
import torch
from torch import Tensor

from everlong.nn.shifting import (
    interpolate,
    interpolate_back,
    neighbours,
    sharpen,
    sharpen_back,
    shift,
    shift_back,
)


def some_weights(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64).softmax(dim=-1)


def kernel(back: float, stay: float, on: float) -> Tensor:
    return torch.tensor([back, stay, on], dtype=torch.float64).expand(2, 3, 3)


def one(*shape: int) -> Tensor:
    return torch.ones(*shape, dtype=torch.float64)


@pytest.mark.parametrize("slots", [2, 3, 8])
def test_a_closed_gate_no_shift_and_power_one_change_nothing(slots: int) -> None:
    before, content = some_weights(2, 3, slots), some_weights(2, 3, slots)
    gated = interpolate(content, before, 0 * one(2, 3))
    found = sharpen(shift(gated, kernel(0, 1, 0)), one(2, 3))
    torch.testing.assert_close(found, before, rtol=0, atol=1e-14)


@pytest.mark.parametrize("slots", [1, 2, 3, 8])
def test_a_shift_is_a_rotation_and_as_many_as_there_are_slots_are_none(slots: int) -> None:
    start = some_weights(2, 3, slots)
    assert torch.equal(shift(start, kernel(0, 0, 1)), start.roll(1, dims=-1))
    assert torch.equal(shift(start, kernel(1, 0, 0)), start.roll(-1, dims=-1))
    moved = start
    for _ in range(slots):
        moved = shift(moved, kernel(0, 0, 1))
    assert torch.equal(moved, start)


def test_an_open_gate_forgets_where_the_head_was() -> None:
    content = some_weights(2, 3, 5)
    torch.testing.assert_close(interpolate(content, some_weights(2, 3, 5), one(2, 3)), content)


def test_weights_stay_weights() -> None:
    gated = interpolate(some_weights(2, 3, 8), some_weights(2, 3, 8), torch.rand(2, 3, dtype=torch.float64))
    moved = shift(gated, some_weights(2, 3, 3))
    for power in (1.0, 3.0, 21.0):
        found = sharpen(moved, power * one(2, 3))
        torch.testing.assert_close(found.sum(dim=-1), one(2, 3), rtol=0, atol=1e-14)
        assert float(found.min()) >= 0


@pytest.mark.parametrize("power", [1.0, 5.0, 21.0])
def test_powers_of_small_weights_do_not_vanish_in_float32(power: float) -> None:
    """``(1 / 128)^20`` is below what float32 holds: the plain formula gives 0 / 0."""
    even = torch.full((1, 1, 128), 1 / 128)
    powers = torch.full((1, 1), power)
    torch.testing.assert_close(sharpen(even, powers), even, rtol=1e-5, atol=0)
    nothing = torch.zeros(1, 1, 128)
    nothing[..., 3] = 1
    found = sharpen(nothing, powers)
    torch.testing.assert_close(found, nothing, rtol=0, atol=1e-6)
    d_weights, d_power = sharpen_back(nothing, powers, found, torch.randn(1, 1, 128))
    assert bool(d_weights.isfinite().all())
    assert bool(d_power.isfinite().all())


def test_derivatives_are_those_of_autograd() -> None:
    content, before, gate = some_weights(2, 3, 5), some_weights(2, 3, 5), torch.rand(2, 3, dtype=torch.float64)
    mixture, power = some_weights(2, 3, 3), 1 + 3 * torch.rand(2, 3, dtype=torch.float64)
    inputs = [x.requires_grad_() for x in (content, before, gate, mixture, power)]
    gated = interpolate(content, before, gate)
    moved = shift(gated, mixture)
    sharp = sharpen(moved, power)
    d_sharp = torch.randn(2, 3, 5, dtype=torch.float64)
    expected = torch.autograd.grad(sharp, inputs, d_sharp)
    with torch.no_grad():
        d_moved, d_power = sharpen_back(moved, power, sharp, d_sharp)
        d_gated, d_mixture = shift_back(neighbours(gated), mixture, d_moved)
        ours = (*interpolate_back(content - before, gate, d_gated), d_mixture, d_power)
    for mine, theirs in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)
