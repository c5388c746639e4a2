"""Memory dropout: lanes that go on with no past, or with a stranger's.

A model that always trains with its own full memory has never seen the beginning of a document, nor a memory that does
not help; both happen when it is used. Where lanes are swapped alone, this is the state passing of Buitrago & Gu (2025,
arXiv:2507.02782, section 4): a sequence begins with what another one left behind.
"""

from typing import TypeVar, final

import torch
from jaxtyping import Int
from torch import Tensor

from everlong.memory import Memory
from everlong.train.distribution import World

M = TypeVar("M", bound=Memory)


@final
class MemoryDropout:
    """Draws, before each window, what every lane remembers."""

    def __init__(self, *, rate: float, swap: float = 0.0, lanes: int, seed: int, world: World) -> None:
        self.rate, self.swap, self.lanes, self.world = rate, swap, lanes, world
        # All ranks draw for all lanes, so the draws do not depend on how many ranks there are.
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, memory: M) -> M:
        """The memory with some lanes empty and some a copy of another lane of this rank."""
        chosen = self.rate + self.swap
        if chosen == 0.0:
            return memory
        chances = torch.rand(2, self.lanes, generator=self.generator, dtype=torch.float64)
        lost, donor = (self.world.slice(row) for row in chances)
        mine = memory.lanes
        swapped = (lost >= self.rate / 2) & (lost < chosen) if mine > 1 else torch.zeros(mine, dtype=torch.bool)
        emptied = (lost < self.rate) & ~swapped
        if bool(swapped.any()):
            memory = memory.select(torch.where(swapped, other_lanes(donor), torch.arange(mine)))
        # At position 0 a lane is new, whatever else it holds.
        return memory.map(torch.zeros_like).where(emptied, memory) if bool(emptied.any()) else memory


def other_lanes(chances: Tensor) -> Int[Tensor, "b"]:
    """For each lane, another one, from a chance in [0, 1); the lane itself where there is no other."""
    lanes = chances.shape[0]
    return (torch.arange(lanes) + 1 + (chances * max(1, lanes - 1)).long()) % lanes
