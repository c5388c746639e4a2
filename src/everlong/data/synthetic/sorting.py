"""Priority sort (Graves, Wayne & Danihelka, 2014, arXiv:1410.5401, section 4.5).

Vectors of random bits, each beside a priority drawn evenly from -1 to 1; a flag; silence. Asked for: the vectors of the
highest priorities, the highest first. The paper's lists all have one length and need no flag; here lists of other
lengths can be measured too.
"""

from typing import Self, final

import torch
from pydantic import Field, model_validator

from everlong.data.synthetic.rules import Episode, Rules, Sizes, asked_after, random_bits


@final
class PrioritySort(Rules):
    """Say what mattered most, in order."""

    name = "priority-sort"

    items: int = Field(default=20, ge=1)
    """Vectors that are shown."""
    answers: int = Field(default=16, ge=1)
    """Vectors that are asked for."""
    bits: int = Field(default=8, ge=1)
    """Bits of a vector."""

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.answers > self.items:
            raise ValueError(
                f"answers={self.answers} vectors cannot be asked for where items={self.items} are shown; "
                "give answers that is no more."
            )
        return self

    @property
    def input_size(self) -> int:
        """The bits, the priority and a flag."""
        return self.bits + 2

    @property
    def output_size(self) -> int:
        """The bits."""
        return self.bits

    def draw_sizes(self, rng: torch.Generator) -> Sizes:
        """Always the same."""
        del rng
        return {"items": self.items, "answers": self.answers}

    def draw(self, rng: torch.Generator, sizes: Sizes) -> Episode:
        """Vectors with priorities, a flag, silence."""
        vectors = random_bits(rng, sizes["items"], self.bits)
        priorities = torch.rand(sizes["items"], generator=rng) * 2 - 1
        shown = torch.zeros(sizes["items"] + 1, self.input_size)
        shown[:-1, : self.bits], shown[:-1, self.bits], shown[-1, self.bits + 1] = vectors, priorities, 1
        return asked_after(shown, vectors[priorities.argsort(descending=True)[: sizes["answers"]]])

    def trials(self) -> tuple[Sizes, ...]:
        """The sizes of training; then a quarter more of both."""
        return tuple({"items": self.items * n // 4, "answers": self.answers * n // 4} for n in (4, 5))
