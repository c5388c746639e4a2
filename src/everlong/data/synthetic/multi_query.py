"""Multi-query associative recall (Arora et al., 2024, arXiv:2312.04927, section 3 and appendix E).

    k1 v1 k2 v2 ... kn vn  .  .  k2 .  .  .  k1 .  kn .        shown; a dot is a token that says nothing
                                 v2          v1    vn          asked for

Keys are tokens of the lower half of the vocabulary but 0, values of the upper half; all keys of a sequence differ, and
all values. The answer is given where the key stands again, and is not shown after it. Gaps before the questions are
drawn without replacement, short ones more often: the gap x of those that fit has a chance that is proportional to
x^(a - 1), a = 0.01.
"""

from typing import Self, final

import torch
from pydantic import Field, model_validator

from everlong.data.synthetic.rules import Episode, Sizes, TokenRules, rounded_up
from everlong.shapes import IGNORE

SHORT = 0.01
"""The exponent `a`."""


@final
class MultiQueryRecall(TokenRules):
    """Say which value stood beside this key."""

    name = "multi-query-recall"

    length: int = Field(default=64, ge=4)
    """Tokens of a sequence."""
    pairs: int = Field(default=4, ge=1)
    """Keys with their values."""
    symbols: int = Field(default=8192, ge=4)
    """Tokens of the vocabulary."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if 4 * self.pairs > self.length:
            raise ValueError(f"pairs={self.pairs} need a length of {4 * self.pairs} or more, not {self.length}.")
        if self.pairs > self.symbols // 2 - 1:
            raise ValueError(f"symbols={self.symbols} are too few for pairs={self.pairs}: {2 * self.pairs + 2} do.")
        return self

    @property
    def vocab_size(self) -> int:
        """Nothing, keys and values."""
        return self.symbols

    def draw_sizes(self, rng: torch.Generator) -> Sizes:
        """Always the same."""
        del rng
        return {"length": self.length, "pairs": self.pairs}

    def draw(self, rng: torch.Generator, sizes: Sizes) -> Episode:
        """Pairs, then their keys again at gaps."""
        length, pairs, half = sizes["length"], sizes["pairs"], self.symbols // 2
        keys = 1 + torch.randperm(half - 1, generator=rng)[:pairs]
        values = half + torch.randperm(self.symbols - half, generator=rng)[:pairs]
        gap = torch.arange(1, length // 2 - pairs + 1).double()
        gaps = torch.multinomial(gap ** (SHORT - 1), pairs, replacement=False, generator=rng)
        asked = 2 * pairs + 2 * gaps
        inputs = torch.zeros(length, dtype=torch.int64)
        inputs[: 2 * pairs : 2], inputs[1 : 2 * pairs : 2], inputs[asked] = keys, values, keys
        targets, marks = torch.full((length,), IGNORE), torch.zeros(length, dtype=torch.int64)
        targets[asked], marks[asked] = values, asked - (1 + 2 * torch.arange(pairs))
        return Episode(inputs=inputs, targets=targets, marks=rounded_up(marks))

    def trials(self) -> tuple[Sizes, ...]:
        """As in training; twice as long with twice as many pairs; and four times."""
        most = self.symbols // 2 - 1
        return tuple({"length": n * self.length, "pairs": min(n * self.pairs, most)} for n in (1, 2, 4))
