"""Selective copying and delayed copying, with tokens (Gu & Dao, 2023, arXiv:2312.00752, section 4.1.1).

    .  7  .  .  3  .  5  .  .   ?  ?  ?        shown: noise with some tokens in it, then a marker for each of them
                                7  3  5        asked for

Noise is token 0 and the marker is the last one of the vocabulary; what is to be remembered is drawn from those between,
and may come twice. Its places are random; with ``scattered=false`` they are the first ones, which is copying after a
delay (Arjovsky et al., 2016), and needs no selection: a model may count.
"""

from typing import final

import torch
from pydantic import Field

from everlong.data.synthetic.rules import Episode, Sizes, TokenRules, distinct, rounded_up
from everlong.shapes import IGNORE


@final
class SelectiveCopy(TokenRules):
    """Say again, in order, what stood in the noise."""

    name = "selective-copy"

    noise: int = Field(default=256, ge=0)
    """Tokens that say nothing."""
    items: int = Field(default=16, ge=1)
    """Tokens to be remembered."""
    symbols: int = Field(default=16, ge=3)
    """Tokens of the vocabulary: noise, marker, and two fewer to be remembered."""
    scattered: bool = True
    """Whether what is to be remembered stands at random places, and not at the beginning."""

    @property
    def vocab_size(self) -> int:
        """Noise, tokens to be remembered and the marker."""
        return self.symbols

    def draw_sizes(self, rng: torch.Generator) -> Sizes:
        """Always the same."""
        del rng
        return {"noise": self.noise, "items": self.items}

    def draw(self, rng: torch.Generator, sizes: Sizes) -> Episode:
        """Noise with tokens in it, then markers."""
        items, before = sizes["items"], sizes["noise"] + sizes["items"]
        tokens = torch.randint(1, self.symbols - 1, (items,), generator=rng)
        places = distinct(rng, items, below=before).sort().values if self.scattered else torch.arange(items)
        inputs = torch.zeros(before + items, dtype=torch.int64)
        inputs[places], inputs[before:] = tokens, self.symbols - 1
        targets, marks = torch.full((before + items,), IGNORE), torch.zeros(before + items, dtype=torch.int64)
        targets[before:], marks[before:] = tokens, rounded_up(before + torch.arange(items) - places)
        return Episode(inputs=inputs, targets=targets, marks=marks)

    def trials(self) -> tuple[Sizes, ...]:
        """As much noise as in training; twice and four times as much."""
        return tuple({"noise": n * self.noise, "items": self.items} for n in (1, 2, 4))
