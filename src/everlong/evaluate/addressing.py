"""What weights over slots say: where a head went, how sharply, and whether reads go where was written.

sharpness         sum_i w_i^2 / (sum_i w_i)^2      1 on one slot, 1/n evenly on n, 0 where no weight was given
goes to slot i    w_i > 1/2
addressed right   an answer for which some head that reads goes to a slot to which some head that writes went when
                  the answer was shown
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from everlong.evaluate.trace import Trace

MOST = 0.5
"""A head goes to a slot with more than this weight; where weights sum to 1 or less, it goes to one slot or to none."""

Weights = Float[Tensor, "t h s"]


def sharpness(weights: Weights) -> Float[Tensor, "t h"]:
    """How much the weights of each head lie on one slot, at each step."""
    whole = weights.sum(dim=-1).square()
    return torch.where(whole > 0, weights.square().sum(dim=-1) / whole, 0)


def places(weights: Weights) -> list[dict[str, Any]]:
    """Of each head, step by step: the slot of the largest weight (the first of equals), that weight, and sharpness."""
    weight, slot = weights.max(dim=-1)
    parts = {"slot": slot, "weight": weight, "sharpness": sharpness(weights)}
    return [{name: part[:, head].tolist() for name, part in parts.items()} for head in range(weights.shape[1])]


def count_addressed_right(trace: Trace, shown_at: Mapping[int, int]) -> int:
    """How many answers are addressed right, of those that `shown_at` says were shown, and at which step."""
    wrote, read = ((weights > MOST).any(dim=1) for weights in (trace.writes, trace.reads))
    return sum(bool((wrote[shown] & read[answered]).any()) for answered, shown in shown_at.items())
