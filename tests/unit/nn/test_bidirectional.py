"""Attention to both sides against the plain twin, values and gradients."""

import pytest
import torch
from torch import Tensor

from everlong.nn.bidirectional import attend_both_sides, attend_to_padded, attend_to_source
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


@pytest.mark.parametrize("lengths", [None, [7, 3, 3, 0]])
def test_a_source_is_seen_as_far_as_it_is_real(lengths: list[int] | None) -> None:
    query, source = random(4, 5), torch.randn(4, 7, 16, dtype=torch.float64, requires_grad=True)
    real = torch.arange(7) < torch.tensor(lengths or [7] * 4)[:, None]
    ill = source.masked_fill(~real[..., None], torch.nan)
    found = attend_to_source(query, ill, lengths=None if lengths is None else torch.tensor(lengths))
    key, value = (part.unflatten(-1, (2, 4)) for part in source.chunk(2, dim=-1))
    expected = masked_attention(query, key, value, visible=(real | ~real.any(dim=1, keepdim=True))[:, None, None])
    expected = expected.masked_fill(~real.any(dim=1)[:, None, None, None], 0.0)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)
    if lengths is not None:
        padded = attend_to_padded(query, ill, lengths=torch.tensor(lengths), dropout=0.0)
        torch.testing.assert_close(padded, expected, rtol=0, atol=1e-13)
    mixture = torch.randn_like(found)
    for ours, theirs in zip(
        torch.autograd.grad((found * mixture).sum(), (query, source)),
        torch.autograd.grad((expected * mixture).sum(), (query, source)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_a_source_of_no_places_is_nothing() -> None:
    query = random(2, 3)
    assert not attend_to_source(query, torch.randn(2, 0, 16, dtype=torch.float64), lengths=None).any()
