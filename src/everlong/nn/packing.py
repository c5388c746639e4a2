"""Texts of different lengths behind one another, so that nothing is computed for padding.

    side by side    [b t]    | a a a . . | b . . . . | c c c c c |
    packed          [1 n]    | a a a b c c c c c |                      n tokens in all

Maps of single tokens need not know; attention stays within a text (everlong.nn.bidirectional).
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from everlong.clock import Clock
from everlong.nn.position import Rotary

WORTH = 1 / 8
"""The share of padding from which on packing is worth its copies."""


@dataclass(frozen=True)
class Packing:
    """Where the tokens of texts side by side stand once they are packed."""

    valid: Bool[Tensor, "b t"]

    @cached_property
    def lengths(self) -> list[int]:
        """Tokens of each text, without the empty ones."""
        return [length for length in self.valid.sum(dim=1).tolist() if length]

    @cached_property
    def position(self) -> Int[Tensor, "n"]:
        """Where each token stands in its own text."""
        return self.valid.nonzero()[:, 1]

    def pack(self, x: Shaped[Tensor, "b t *k"]) -> Shaped[Tensor, "1 n *k"]:
        """What belongs to tokens, without what belongs to padding."""
        return x.flatten(0, 1).index_select(0, self._index)[None]

    def unpack(self, x: Shaped[Tensor, "1 n *k"]) -> Shaped[Tensor, "b t *k"]:
        """The texts side by side again, with zeros for padding."""
        rows = x.new_zeros(self.valid.numel(), *x.shape[2:]).index_copy(0, self._index, x[0])
        return rows.unflatten(0, self.valid.shape)

    @cached_property
    def _index(self) -> Int[Tensor, "n"]:
        return self.valid.flatten().nonzero()[:, 0]


def packing(clock: Clock) -> Packing | None:
    """How to pack texts; ``None`` where they had better stay side by side: elsewhere than on a CPU, or nearly full."""
    if clock.lengths is None or clock.lengths.device.type != "cpu":
        return None
    real = int(clock.lengths.sum())
    places = len(clock.lengths) * clock.time
    if not real or places - real < WORTH * places:
        return None
    return Packing(torch.arange(clock.time) < clock.lengths[:, None])


def angles_of_texts(
    rotary: Rotary, x: Float[Tensor, "b t d"], valid: Bool[Tensor, "b t"] | Packing | None
) -> Float[Tensor, "t 2 f"]:
    """By how much each token's pairs are turned: as its position in its own text says."""
    if isinstance(valid, Packing):
        return rotary.angles(max(valid.lengths), like=x)[valid.position]
    return rotary.angles(x.shape[1], like=x)
