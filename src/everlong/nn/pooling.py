"""Many vectors into one by learned attention, for stretches of any lengths at once.

    a_i = u . tanh(W h_i + b)          w_i = softmax_i(a_i)          s = sum_i w_i h_i      (Yang et al., 2016, eq. 5-7)

The sum is over `h`, not over what the scores are made of. With several heads, each scores and sums up a part of the
coordinates of its own. Each softmax runs over the items of one stretch of a line
that has no padding, so nothing needs a mask. What a stretch has become is an item itself, whose score is the logarithm
of its sum: a stretch that is read in parts is pooled exactly.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Pooling = Literal["attention", "mean", "max"]


class AttentionScore(nn.Module):
    """``u . tanh(W h + b)``: how much an item matters to each head, whose context vector `u` is learned."""

    def __init__(self, width: int, *, n_heads: int = 1) -> None:
        super().__init__()
        self.map = nn.Linear(width, width)
        self.context = nn.Parameter(torch.randn(n_heads, width // n_heads) * (width // n_heads) ** -0.5)

    def forward(self, items: Float[Tensor, "*n d"]) -> Float[Tensor, "*n h"]:
        """Scores, in the precision of the weights."""
        heads = torch.tanh(self.map(items)).unflatten(-1, self.context.shape)
        return (heads.to(self.context.dtype) * self.context).sum(dim=-1)


def softmax_by_stretch(
    scores: Float[Tensor, "m h"], number: Int[Tensor, "m"], *, count: int
) -> tuple[Float[Tensor, "m h"], Float[Tensor, "n h"]]:
    """Weights of the items, which add up to 1 in each stretch, and the logarithm of each stretch's denominator.

    Args:
        scores: of the items.
        number: the stretch of each.
        count: how many stretches there are; an empty one has a denominator of 0.
    """
    known = scores.detach()
    nothing = known.new_full((count, scores.shape[1]), -torch.inf)
    peak = nothing.scatter_reduce(0, number[:, None].expand_as(known), known, "amax")
    powers = (scores - peak[number]).exp()
    total = torch.zeros_like(peak).index_add(0, number, powers)
    return powers / total[number], peak + total.log()


def sum_by_stretch(
    values: Float[Tensor, "m d"], weights: Float[Tensor, "m h"], number: Int[Tensor, "m"], *, count: int
) -> Float[Tensor, "n d"]:
    """The weighted sum of each stretch's items; 0 of none."""
    weighed = values.unflatten(-1, (weights.shape[1], -1)) * weights[..., None].to(values.dtype)
    return values.new_zeros(count, values.shape[1]).index_add(0, number, weighed.flatten(1))


def pool_evenly(
    values: Float[Tensor, "m d"], number: Int[Tensor, "m"], *, count: int, pooling: Literal["mean", "max"]
) -> Float[Tensor, "n d"]:
    """The mean, or the largest of each coordinate, of each stretch's items; 0 of none."""
    if pooling == "max":
        index = number[:, None].expand_as(values)
        return values.new_zeros(count, values.shape[1]).scatter_reduce(0, index, values, "amax", include_self=False)
    total = values.new_zeros(count, values.shape[1]).index_add(0, number, values)
    return total / torch.bincount(number, minlength=count).clamp(min=1)[:, None]
