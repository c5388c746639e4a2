"""Addressing by content: the nearest row, empty rows, masks, and derivatives."""

import pytest
import torch
from torch import Tensor

from everlong.nn.content import (
    ask,
    ask_back,
    find,
    find_back,
    inverse_lengths,
    inverse_lengths_back,
    softmax_back,
)


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def weights(matrix: Tensor, keys: Tensor, strength: Tensor, mask: Tensor | None = None) -> Tensor:
    return find(matrix, ask(keys, strength, mask).query, inverse_lengths(matrix, mask)).weights


def gradients(
    matrix: Tensor, keys: Tensor, strength: Tensor, mask: Tensor | None, d_weights: Tensor
) -> tuple[Tensor, ...]:
    """Of the matrix, keys, strengths and the mask, put together as a step of a model does it."""
    asked, inverse = ask(keys, strength, mask), inverse_lengths(matrix, mask)
    d_matrix = torch.zeros_like(matrix)
    d_query, d_inverse = find_back(find(matrix, asked.query, inverse), matrix, asked.query, d_weights, d_matrix)
    if mask is None:
        d_inverse = d_inverse.sum(dim=1, keepdim=True)
    d_mask = inverse_lengths_back(matrix, mask, inverse**3, d_inverse, d_matrix)
    unit = asked.masked * asked.inverse
    if mask is None or d_mask is None:
        return (d_matrix, *ask_back(unit, asked.scale, d_query))
    d_masked, d_strength = ask_back(unit, asked.scale, d_query * mask)
    d_mask = d_mask + d_masked * keys + d_query * asked.masked * asked.scale
    return d_matrix, d_masked * mask, d_strength, d_mask


def test_a_strong_key_points_at_the_row_nearest_in_angle() -> None:
    matrix, keys = randn(2, 7, 4), randn(2, 3, 4)
    angles = torch.nn.functional.cosine_similarity(keys[:, :, None], matrix[:, None], dim=-1)
    found = weights(matrix, keys, torch.full((2, 3), 1e5, dtype=torch.float64))
    expected = torch.nn.functional.one_hot(angles.argmax(dim=-1), 7).double()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_a_key_without_strength_sees_all_rows_alike() -> None:
    found = weights(randn(2, 7, 4), randn(2, 3, 4), torch.zeros(2, 3, dtype=torch.float64))
    torch.testing.assert_close(found, torch.full_like(found, 1 / 7), rtol=0, atol=1e-15)


def test_a_mask_asks_for_a_part_of_a_row() -> None:
    matrix, key = torch.zeros(1, 2, 4), torch.tensor([[[1.0, 0.0, 9.0, 9.0]]])
    matrix[0, 0], matrix[0, 1] = torch.tensor([1.0, 0.0, -9.0, -9.0]), torch.tensor([0.0, 1.0, 9.0, 9.0])
    strength = torch.full((1, 1), 100.0)
    assert weights(matrix, key, strength)[0, 0].argmax() == 1
    assert weights(matrix, key, strength, torch.tensor([[[1.0, 1.0, 0.0, 0.0]]]))[0, 0].argmax() == 0


@pytest.mark.parametrize("masked", [False, True])
def test_rows_and_keys_of_zeros_have_finite_gradients(masked: bool) -> None:
    matrix, keys, strength = torch.zeros(1, 3, 4), torch.zeros(1, 2, 4), torch.ones(1, 2)
    mask = torch.zeros(1, 2, 4) if masked else None
    found = gradients(matrix, keys, strength, mask, torch.randn(1, 2, 3))
    assert len(found) == 3 + masked
    assert all(bool(gradient.isfinite().all()) for gradient in found)
    torch.testing.assert_close(weights(matrix, keys, strength, mask), torch.full((1, 2, 3), 1 / 3))


@pytest.mark.parametrize("masked", [False, True])
def test_derivatives_are_those_of_autograd(masked: bool) -> None:
    matrix, keys, strength = randn(2, 5, 3), randn(2, 4, 3), torch.rand(2, 4, dtype=torch.float64) * 3
    mask = torch.rand(2, 4, 3, dtype=torch.float64) if masked else None
    inputs = [x.requires_grad_() for x in (matrix, keys, strength, *([mask] if mask is not None else []))]
    d_weights = randn(2, 4, 5)
    expected = torch.autograd.grad(weights(matrix, keys, strength, mask), inputs, d_weights)
    with torch.no_grad():
        ours = gradients(matrix, keys, strength, mask, d_weights)
    for one, two in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-12)


def test_softmax_back_is_that_of_autograd() -> None:
    scores, d_weights = randn(2, 3, 5).requires_grad_(), randn(2, 3, 5)
    out = scores.softmax(dim=-1)
    (expected,) = torch.autograd.grad(out, [scores], d_weights)
    torch.testing.assert_close(softmax_back(out.detach(), d_weights), expected)
