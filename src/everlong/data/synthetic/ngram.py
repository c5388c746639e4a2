"""Dynamic n-grams (Graves, Wayne & Danihelka, 2014, arXiv:1410.5401, section 4.4).

A source of bits in which the chance of a one depends on the bits just before, by a table that is drawn anew for every
episode, each chance from Beta(1/2, 1/2). The first bits, which have too few before them, are even. At every step a bit
is shown and the next one is asked for; before the first one, silence.

A reader that has seen n0 zeros and n1 ones after the same bits as now cannot do better than to expect a one with chance
(n1 + 1/2) / (n0 + n1 + 1) (Murphy, 2012, section 3.3).
"""

import math
from typing import final

import torch
from pydantic import Field

from everlong.data.synthetic.rules import Episode, Rules, Sizes, random_bits


@final
class DynamicNGram(Rules):
    """Say which bit comes next, having found out how they follow each other."""

    name = "dynamic-n-gram"

    order: int = Field(default=6, ge=1, le=16)
    """The n of n-gram: a bit depends on one bit fewer."""
    length: int = Field(default=200, ge=1)
    """Bits of an episode."""

    @property
    def input_size(self) -> int:
        """A bit."""
        return 1

    @property
    def output_size(self) -> int:
        """A bit."""
        return 1

    def draw_sizes(self, rng: torch.Generator) -> Sizes:
        """Always the same."""
        del rng
        return {"length": self.length}

    def draw(self, rng: torch.Generator, sizes: Sizes) -> Episode:
        """Bits, each one step late as what is shown."""
        table = beta_half(rng, 2 ** (self.order - 1)).tolist()
        before = self.order - 1
        drawn = [int(bit) for bit in random_bits(rng, min(before, sizes["length"])).tolist()]
        for chance in torch.rand(sizes["length"] - len(drawn), generator=rng).tolist():
            drawn.append(int(chance < table[self.context(drawn)]))
        said = torch.tensor(drawn, dtype=torch.float32)[:, None]
        return Episode(inputs=torch.cat([torch.zeros(1, 1), said[:-1]]), targets=said)

    def context(self, before: list[int]) -> int:
        """Which row of the table tells the next bit: the last bits as a binary number."""
        return sum(bit << place for place, bit in enumerate(reversed(before[len(before) - self.order + 1 :])))

    def trials(self) -> tuple[Sizes, ...]:
        """The length of training, and twice as much."""
        return ({"length": self.length}, {"length": 2 * self.length})

    def least_bits(self, episode: Episode) -> float:
        """Bits of an episode by the best possible estimator; 1 for each bit without enough before it."""
        said = [int(bit) for bit in episode.targets[:, 0].tolist()]
        seen = [[0, 0] for _ in range(2 ** (self.order - 1))]
        total = float(min(self.order - 1, len(said)))
        for place in range(self.order - 1, len(said)):
            counts = seen[self.context(said[:place])]
            total -= math.log2((counts[said[place]] + 0.5) / (sum(counts) + 1))
            counts[said[place]] += 1
        return total


def beta_half(rng: torch.Generator, count: int) -> torch.Tensor:
    """Numbers from Beta(1/2, 1/2), which is the law of ``sin(u)^2`` for an even angle `u`."""
    return (torch.rand(count, generator=rng, dtype=torch.float64) * math.pi / 2).sin().square()
