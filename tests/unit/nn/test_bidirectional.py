"""Attention to both sides against the plain twin, values and gradients."""

import pytest
import torch
from torch import Tensor

from everlong.nn.bidirectional import attend_both_sides
from tests.reference.attention import masked_attention


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, 2, 4, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("lengths", [None, [7, 1, 4]])
def test_every_real_token_is_seen(lengths: list[int] | None) -> None:
    query, key, value = random(3, 7), random(3, 7), random(3, 7)
    valid = None if lengths is None else torch.arange(7) < torch.tensor(lengths)[:, None]
    visible = torch.ones(3, 1, 1, 7, dtype=torch.bool) if valid is None else valid[:, None, None]
    found = attend_both_sides(query, key, value, valid=valid)
    expected = masked_attention(query, key, value, visible=visible)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)
    mixture = torch.randn_like(found)
    for ours, theirs in zip(
        torch.autograd.grad((found * mixture).sum(), (query, key, value)),
        torch.autograd.grad((expected * mixture).sum(), (query, key, value)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_an_empty_lane_gets_finite_numbers_and_gradients() -> None:
    inputs = random(2, 3), random(2, 3), random(2, 3)
    found = attend_both_sides(*inputs, valid=torch.tensor([[False] * 3, [True] * 3]))
    assert bool(found.isfinite().all())
    assert all(bool(gradient.isfinite().all()) for gradient in torch.autograd.grad(found.sum(), inputs))
