"""Addressing by content: a softmax over how alike a key and every row of a memory matrix are.

    cos(k, M_i) = k · M_i / sqrt((|k|^2 + eps) (|M_i|^2 + eps))        w = softmax_i(strength · cos(k, M_i))

`eps` makes an empty row like nothing, with a gradient that is finite (Graves et al., 2014, eq. 5 and 6). With a mask
`m` both sides are multiplied by it first: a key may ask for a part of a row (Csordás & Schmidhuber, 2019).

Functions that end in ``_back`` are the derivatives of the function before them: what autograd would compute, from the
values that a step has already kept. The gradient of a matrix comes from several places: they add to it in place.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

EPSILON = 1e-6

Keys = Float[Tensor, "b h w"]
Matrix = Float[Tensor, "b s w"]
Weights = Float[Tensor, "b h s"]
PerHead = Float[Tensor, "b h"]


class Asked(NamedTuple):
    """Keys over their length times their strength, as rows are compared with them (of one step, or of all)."""

    query: Float[Tensor, "*t b h w"]
    masked: Float[Tensor, "*t b h w"]
    scale: Float[Tensor, "*t b h 1"]
    inverse: Float[Tensor, "*t b h 1"]


class Found(NamedTuple):
    """Weights over the rows, and the products and inverse lengths they were made of (of one or all steps)."""

    weights: Float[Tensor, "*t b h s"]
    products: Float[Tensor, "*t b h s"]
    inverse: Float[Tensor, "*t b #h s"]


def ask(keys: Keys, strength: PerHead, mask: Keys | None) -> Asked:
    """Keys as `find` takes them."""
    masked = keys if mask is None else keys * mask
    inverse = (masked * masked).sum(dim=-1, keepdim=True).add_(EPSILON).rsqrt_()
    scale = inverse * strength[..., None]
    query = masked * scale
    return Asked(query=query if mask is None else query * mask, masked=masked, scale=scale, inverse=inverse)


def ask_back(unit: Keys, scale: Float[Tensor, "b h 1"], d_query: Keys) -> tuple[Keys, PerHead]:
    """Gradients of keys and strengths; `unit` is ``masked inverse``, with a mask `d_query` is multiplied by it."""
    d_strength = (d_query * unit).sum(dim=-1)
    return torch.addcmul(d_query, unit, d_strength[..., None], value=-1).mul_(scale), d_strength


def inverse_lengths(matrix: Matrix, mask: Keys | None) -> Float[Tensor, "b #h s"]:
    """One over the length of each row, or of what each mask leaves of it."""
    squares = matrix * matrix
    lengths = squares.sum(dim=-1)[:, None] if mask is None else torch.bmm(mask * mask, squares.mT)
    return lengths.add_(EPSILON).rsqrt_()


def inverse_lengths_back(
    matrix: Matrix,
    mask: Keys | None,
    cubed: Float[Tensor, "b #h s"],
    d_inverse: Float[Tensor, "b #h s"],
    d_matrix: Matrix,
) -> Keys | None:
    """Gradient of the masks; that of the matrix is added. `cubed` are the inverse lengths to the third power."""
    d_inverse.mul_(cubed)
    if mask is None:
        d_matrix.addcmul_(matrix, d_inverse.mT, value=-1)
        return None
    d_matrix.addcmul_(matrix, torch.bmm(d_inverse.mT, mask * mask), value=-1)
    return torch.bmm(d_inverse, matrix * matrix).mul_(mask).neg_()


def find(matrix: Matrix, query: Keys, inverse: Float[Tensor, "b #h s"]) -> Found:
    """How much each row is like each key."""
    products = torch.bmm(query, matrix.mT)
    return Found(weights=(products * inverse).softmax(dim=-1), products=products, inverse=inverse)


def find_back(found: Found, matrix: Matrix, query: Keys, d_weights: Weights, d_matrix: Matrix) -> tuple[Keys, Weights]:
    """Gradients of the queries, and by head of the inverse lengths; that of the matrix is added."""
    d_scores = softmax_back(found.weights, d_weights)
    d_products = d_scores * found.inverse
    d_matrix.baddbmm_(d_products.mT, query)
    return torch.bmm(d_products, matrix), d_scores.mul_(found.products)


def softmax_back(weights: Float[Tensor, "... s"], d_weights: Float[Tensor, "... s"]) -> Float[Tensor, "... s"]:
    """Gradient of the scores whose softmax over the last dimension the weights are."""
    return torch.ops.aten._softmax_backward_data.default(d_weights, weights, -1, weights.dtype)
