"""Addressing by content: the nearest row, empty rows, masks, and derivatives."""

import pytest
import torch
from torch import Tensor

from everlong.nn.content import ask, ask_back, find, find_back, softmax_back


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def weights(matrix: Tensor, keys: Tensor, strength: Tensor, mask: Tensor | None = None) -> Tensor:
    return find(matrix, ask(keys, strength, mask).query, mask).weights


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
    asked = ask(keys, strength, mask)
    found = find(matrix, asked.query, mask)
    d_matrix, d_query, d_square = find_back(found, matrix, asked.query, mask, torch.randn(1, 2, 3))
    gradients = [d_matrix, *ask_back(asked, keys, mask, d_query, d_square)]
    assert all(bool(gradient.isfinite().all()) for gradient in gradients if gradient is not None)
    torch.testing.assert_close(found.weights, torch.full((1, 2, 3), 1 / 3))


@pytest.mark.parametrize("masked", [False, True])
def test_derivatives_are_those_of_autograd(masked: bool) -> None:
    matrix, keys, strength = randn(2, 5, 3), randn(2, 4, 3), torch.rand(2, 4, dtype=torch.float64) * 3
    mask = torch.rand(2, 4, 3, dtype=torch.float64) if masked else None
    inputs = [x.requires_grad_() for x in (matrix, keys, strength, *([mask] if mask is not None else []))]
    d_weights = randn(2, 4, 5)
    expected = torch.autograd.grad(weights(matrix, keys, strength, mask), inputs, d_weights)
    with torch.no_grad():
        asked = ask(keys, strength, mask)
        found = find(matrix, asked.query, mask)
        d_matrix, d_query, d_square = find_back(found, matrix, asked.query, mask, d_weights)
        ours = [d_matrix, *ask_back(asked, keys, mask, d_query, d_square)]
    for one, two in zip(ours, expected, strict=False):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-12)


def test_softmax_back_is_that_of_autograd() -> None:
    scores, d_weights = randn(2, 3, 5).requires_grad_(), randn(2, 3, 5)
    out = scores.softmax(dim=-1)
    (expected,) = torch.autograd.grad(out, [scores], d_weights)
    torch.testing.assert_close(softmax_back(out.detach(), d_weights), expected)
