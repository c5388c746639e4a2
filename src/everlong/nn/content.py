"""Addressing by content: a softmax over how alike a key and every row of a memory matrix are.

    cos(k, M_i) = k · M_i / sqrt((|k|^2 + eps) (|M_i|^2 + eps))        w = softmax_i(strength · cos(k, M_i))

`eps` makes an empty row like nothing, with a gradient that is finite (Graves et al., 2014, eq. 5 and 6). With a mask
`m` both sides are multiplied by it first: a key may ask for a part of a row (Csordás & Schmidhuber, 2019).

Functions that end in ``_back`` are the derivatives of the function before them: what autograd would compute, from the
values that a step has already kept.
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
    """Keys divided by their length and multiplied by their strength: what is compared with rows."""

    query: Keys
    masked: Keys
    scale: Float[Tensor, "b h 1"]
    inverse: Float[Tensor, "b h 1"]


class Found(NamedTuple):
    """Weights over the rows, and the products and inverse lengths they were made of."""

    weights: Weights
    products: Weights
    inverse: Float[Tensor, "b #h s"]


def ask(keys: Keys, strength: PerHead, mask: Keys | None) -> Asked:
    """Keys as `find` takes them."""
    masked = keys if mask is None else keys * mask
    inverse = (masked * masked).sum(dim=-1, keepdim=True).add_(EPSILON).rsqrt_()
    scale = inverse * strength[..., None]
    query = masked * scale
    return Asked(query=query if mask is None else query * mask, masked=masked, scale=scale, inverse=inverse)


def ask_back(
    asked: Asked, keys: Keys, mask: Keys | None, d_query: Keys, d_square: Keys | None
) -> tuple[Keys, PerHead, Keys | None]:
    """Gradients of keys, strengths and masks; `d_square` is that of the squared masks, from `find_back`."""
    d_inner = d_query if mask is None else d_query * mask
    d_strength = (d_inner * asked.masked).sum(dim=-1, keepdim=True).mul_(asked.inverse)
    d_masked = (d_inner * asked.scale).addcmul_(asked.masked, d_strength * asked.scale * asked.inverse, value=-1)
    if mask is None or d_square is None:
        return d_masked, d_strength[..., 0], None
    d_mask = (d_query * asked.masked * asked.scale).addcmul_(d_masked, keys).addcmul_(d_square, mask, value=2)
    return d_masked * mask, d_strength[..., 0], d_mask


def find(matrix: Matrix, query: Keys, mask: Keys | None) -> Found:
    """How much each row is like each key."""
    squares = matrix * matrix
    lengths = squares.sum(dim=-1)[:, None] if mask is None else torch.bmm(mask * mask, squares.mT)
    inverse = lengths.add_(EPSILON).rsqrt_()
    products = torch.bmm(query, matrix.mT)
    return Found(weights=(products * inverse).softmax(dim=-1), products=products, inverse=inverse)


def find_back(
    found: Found, matrix: Matrix, query: Keys, mask: Keys | None, d_weights: Weights
) -> tuple[Matrix, Keys, Keys | None]:
    """Gradients of the matrix, the queries and the squared masks."""
    d_products = softmax_back(found.weights, d_weights).mul_(found.inverse)
    d_matrix, d_query = torch.bmm(d_products.mT, query), torch.bmm(d_products, matrix)
    d_lengths = (d_products * found.products).mul_(found.inverse * found.inverse)
    if mask is None:
        return d_matrix.addcmul_(matrix, d_lengths.sum(dim=1)[..., None], value=-1), d_query, None
    d_matrix.addcmul_(matrix, torch.bmm(d_lengths.mT, mask * mask), value=-1)
    return d_matrix, d_query, torch.bmm(d_lengths, matrix * matrix).mul_(-0.5)


def softmax_back(weights: Float[Tensor, "... s"], d_weights: Float[Tensor, "... s"]) -> Float[Tensor, "... s"]:
    """Gradient of the scores whose softmax over the last dimension the weights are."""
    return torch.ops.aten._softmax_backward_data.default(d_weights, weights, -1, weights.dtype)
