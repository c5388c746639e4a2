"""Associative recall (Graves, Wayne & Danihelka, 2014, arXiv:1410.5401, section 4.3).

Items, each a flag and some vectors of random bits; then one of them again, other than the last, between two flags of
another kind; then silence. Asked for: the item that came after it.
"""

from typing import Self, final

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from everlong.data.synthetic.rules import Episode, Rules, Sizes, asked_after, integer, random_bits, require_order


@final
class AssociativeRecall(Rules):
    """Say which item came after this one."""

    name = "associative-recall"

    min_items: int = Field(default=2, ge=2)
    max_items: int = Field(default=6, ge=2)
    """Items of an episode."""
    item_length: int = Field(default=3, ge=1)
    """Vectors of an item."""
    bits: int = Field(default=6, ge=1)
    """Bits of a vector."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        require_order({"min_items": self.min_items, "max_items": self.max_items})
        return self

    @property
    def input_size(self) -> int:
        """The bits, a flag before an item and one around the question."""
        return self.bits + 2

    @property
    def output_size(self) -> int:
        """The bits."""
        return self.bits

    def draw_sizes(self, rng: torch.Generator) -> Sizes:
        """Every number of items as likely."""
        return {"items": integer(rng, self.min_items, self.max_items)}

    def draw(self, rng: torch.Generator, sizes: Sizes) -> Episode:
        """Items, a question, silence."""
        items = random_bits(rng, sizes["items"], self.item_length, self.bits)
        asked = integer(rng, 0, sizes["items"] - 2)
        size, item, question = self.input_size, self.bits, self.bits + 1
        shown = torch.cat(
            [
                *(flagged(vectors, channel=item, size=size) for vectors in items),
                flagged(items[asked], channel=question, size=size),
                flagged(items[asked, :0], channel=question, size=size),
            ]
        )
        return asked_after(shown, items[asked + 1])

    def trials(self) -> tuple[Sizes, ...]:
        """As many items as in training at most; twice and two and a half times as many."""
        return tuple({"items": self.max_items * times // 2} for times in (2, 4, 5))


def flagged(vectors: Float[Tensor, "t i"], *, channel: int, size: int) -> Float[Tensor, "t+1 j"]:
    """The vectors on the first of `size` channels, and before them a step that says 1 on one channel and no more."""
    steps = torch.zeros(len(vectors) + 1, size)
    steps[0, channel] = 1
    steps[1:, : vectors.shape[1]] = vectors
    return steps
