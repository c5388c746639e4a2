"""Pinned entries: the first `n` of every document, kept as long as it lasts and seen by all of its later tokens.

A document that began before the chunk has its pins in slots, one that begins in the chunk has them there, and one that
began less than `n` tokens ago has some in each. For every document that a lane reads in a chunk they are drawn together
in order: `n` entries a document, `k` documents a lane.

A token sees the pins of its document beside its band, in the same softmax. A pin that the band shows is left to the
band, so that no entry counts twice.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from everlong.clock import Clock
from everlong.nn.window import Block

ROWS = 512
"""Queries that look at pins together: the keys are few, so what counts is that the queries stay in the cache."""


def beside_band(position: Int[Tensor, "b t"], *, count: int, window: int, dilation: int) -> Bool[Tensor, "b t n"]:
    """Which of the first `count` tokens of its document each token sees beside its band.

    The band shows `window` tokens, the token itself and others `dilation` apart. All that matters is the position.
    """
    distance = position[..., None] - torch.arange(count, device=position.device)
    in_band = (distance <= (window - 1) * dilation) & (distance % dilation == 0)
    return (distance > 0) & ~in_band


@dataclass(frozen=True)
class Pins:
    """The pinned entries of all documents that a chunk reads."""

    clock: Clock
    count: int
    """Pins of a document."""

    @cached_property
    def settled(self) -> bool:
        """Whether all pins of the chunk's documents are in slots, and stay there as they are."""
        return not self.clock.resets and int(self.clock.before.min()) >= self.count

    @cached_property
    def begins(self) -> Bool[Tensor, "b t"]:
        """Where a document begins after another."""
        begins = self.clock.position == 0
        begins[:, 0] = False
        return begins if self.clock.valid is None else begins & self.clock.valid

    @cached_property
    def document(self) -> Int[Tensor, "b t"]:
        """Which of its lane's documents each token belongs to; 0 is the first of the chunk."""
        return self.begins.cumsum(dim=1)

    @cached_property
    def first(self) -> Int[Tensor, "b k"]:
        """Chunk index at which each document began, negative where that was before the chunk."""
        lane, at = self.begins.nonzero(as_tuple=True)
        first = self.document.new_zeros(len(self.document), int(self.document.max()) + 1)
        first[:, 0] = -self.clock.before
        first[lane, self.document[lane, at]] = at
        return first

    def read(self, slots: Float[Tensor, "b n d"], entries: Float[Tensor, "b t d"]) -> Float[Tensor, "b u d"]:
        """The pins of every document. One that was not read yet is some other entry, which no token sees."""
        if self.settled:
            return slots
        index = self.first[..., None] + torch.arange(self.count, device=slots.device)
        return _drawn(slots.repeat(1, self.first.shape[1], 1), entries, index.flatten(1).clamp(max=self.clock.time - 1))

    def kept(self, slots: Float[Tensor, "b n d"], entries: Float[Tensor, "b t d"]) -> Float[Tensor, "b n d"]:
        """The slots after the chunk: the pins of each lane's last document, as far as it has come."""
        if self.settled:
            return slots
        lengths, following = self.clock.lengths, self.clock.following
        real = torch.full_like(following, self.clock.time) if lengths is None else lengths
        index = (real - following)[:, None] + torch.arange(self.count, device=slots.device)
        # An idle lane keeps what it has; a slot whose token is still to come holds the newest one.
        index = torch.minimum(index, real[:, None] - 1)
        return _drawn(slots, entries, index)

    def blocks(self, *, window: int, dilation: int, heads: slice | None) -> list[Block]:
        """What the tokens see of the entries that `read` draws, beside a band."""
        seen = beside_band(self.clock.position, count=self.count, window=window, dilation=dilation)
        return [
            block
            for document in range(self.first.shape[1])
            for block in self._blocks_of(document, seen & (self.document == document)[..., None], heads)
        ]

    def _blocks_of(self, document: int, seen: Bool[Tensor, "b t n"], heads: slice | None) -> list[Block]:
        keys = slice(document * self.count, (document + 1) * self.count)
        rows = seen.any(dim=2).any(dim=0).nonzero().flatten().tolist()
        if not rows:
            return []
        if bool((seen == seen[:1]).all()):
            seen = seen[:1].expand_as(seen)
        spans = [slice(at, min(at + ROWS, rows[-1] + 1)) for at in range(rows[0], rows[-1] + 1, ROWS)]
        return [Block(queries=span, keys=keys, visible=seen[:, span], heads=heads) for span in spans]


def _drawn(
    slots: Float[Tensor, "b u d"], entries: Float[Tensor, "b t d"], index: Int[Tensor, "b u"]
) -> Float[Tensor, "b u d"]:
    """Entries at these indices of the chunk; what is in the slots where an index is negative."""
    lanes = torch.arange(len(slots), device=slots.device)[:, None]
    return torch.where((index >= 0)[..., None], entries[lanes, index.clamp(min=0)], slots)
