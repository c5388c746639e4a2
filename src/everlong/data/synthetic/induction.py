"""Induction heads (Dao et al., 2023, arXiv:2212.14052, section 3.1; sizes of Gu & Dao, 2023, section 4.1.2).

    4  1  !  6  2  2  ...  5  !        shown: random tokens, and one that is special, once before the end and at the end
                              6        asked for: the token that stood after it

The special token is the last one of the vocabulary, and stands at a random place the first time.
"""

from typing import final

import torch
from pydantic import Field

from everlong.data.synthetic.rules import Episode, Sizes, TokenRules, integer, rounded_up
from everlong.shapes import IGNORE

SHORTEST, LONGEST = 4, 16
"""How many times shorter, and longer, than those of training the sequences are that are measured."""


@final
class InductionHeads(TokenRules):
    """Say what came after the special token."""

    name = "induction-heads"

    length: int = Field(default=256, ge=3 * SHORTEST)
    """Tokens of a sequence."""
    symbols: int = Field(default=16, ge=3)
    """Tokens of the vocabulary, the special one among them."""

    @property
    def vocab_size(self) -> int:
        """Random tokens and the special one."""
        return self.symbols

    def draw_sizes(self, rng: torch.Generator) -> Sizes:
        """Always the same."""
        del rng
        return {"length": self.length}

    def draw(self, rng: torch.Generator, sizes: Sizes) -> Episode:
        """Random tokens, the special one twice."""
        length, special = sizes["length"], self.symbols - 1
        inputs = torch.randint(special, (length,), generator=rng)
        place = integer(rng, 0, length - 3)
        inputs[place], inputs[-1] = special, special
        targets, marks = torch.full((length,), IGNORE), torch.zeros(length, dtype=torch.int64)
        targets[-1], marks[-1] = inputs[place + 1], length - 2 - place
        return Episode(inputs=inputs, targets=targets, marks=rounded_up(marks))

    @property
    def largest(self) -> Sizes:
        """Those of training."""
        return {"length": self.length}

    def trials(self) -> tuple[Sizes, ...]:
        """Lengths that double, from a quarter of that of training to sixteen times as much."""
        doublings = range((SHORTEST * LONGEST).bit_length())
        return tuple({"length": self.length * 2**n // SHORTEST} for n in doublings)
