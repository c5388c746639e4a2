"""A document in paragraphs: which one each token stands in, and which ones a chunk finishes.

A paragraph ends after `longest` tokens, or with a run of separators if there is a token that separates. It is finished
when a token of its document comes after it, for only then is it known to have ended. So where paragraphs lie follows
from the tokens of a document up to the one that is read, and not from where the caller cuts the stream.

Of finished paragraphs a lane remembers the last `n`, in a ring. Put before those that the chunk finishes they form one
line, on which every token sees the last ones that were finished before it:

    line      |  ring: n slots, oldest first  |  finished in the chunk, in order  |
    seen by t     n + done_t - min(n, above_t)   …   n + done_t - 1
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from everlong.clock import Clock
from everlong.nn.pins import ROWS
from everlong.nn.window import Block, Sight
from everlong.shapes import Tokens


class Open(NamedTuple):
    """Where a lane stands between two chunks."""

    length: Int[Tensor, "b"]
    """Tokens of the paragraph that is open."""

    above: Int[Tensor, "b"]
    """Paragraphs of the document that were finished before it."""

    separated: Bool[Tensor, "b"]
    """Whether the last token was a separator."""


@dataclass(frozen=True, kw_only=True)
class Paragraphs:
    """The tokens of a chunk in their paragraphs, and the paragraphs that the chunk finishes."""

    clock: Clock

    into: Int[Tensor, "b t"]
    """Tokens of its paragraph that lie before each token."""

    above: Int[Tensor, "b t"]
    """Paragraphs of its document that were finished before each token."""

    done: Int[Tensor, "b t"]
    """How many of them in this chunk; paragraphs of an earlier document count too."""

    piece: Int[Tensor, "b t"]
    """Which piece of a paragraph each token is in; 0 is what goes on from before the chunk."""

    ends: Bool[Tensor, "b t"]
    """Whether a paragraph was finished right before the token, by its coming."""

    separates: Bool[Tensor, "b t"]
    """Whether the token is a separator."""

    @cached_property
    def counts(self) -> Int[Tensor, "b"]:
        """How many paragraphs each lane finishes."""
        return self.ends.sum(dim=1)

    @cached_property
    def most(self) -> int:
        """How many the busiest lane finishes."""
        return int(self.counts.max())

    @cached_property
    def pieces(self) -> int:
        """How many pieces the lane with most has."""
        return int(self.piece.max()) + 1

    @cached_property
    def finished(self) -> Int[Tensor, "b m"]:
        """The pieces that end a paragraph, in order; after a lane's last one, piece 0."""
        return self._at_ends(self.piece - 1)

    @cached_property
    def clock_of_finished(self) -> Clock:
        """The clock of a lane's finished paragraphs: a document begins with its first."""
        position = self._at_ends(self.above - 1)
        real = torch.arange(self.most, device=position.device) < self.counts[:, None]
        begins = ((position == 0) & real).any(dim=0).nonzero().flatten().tolist()
        # Nobody asks for the two that a memory keeps of a clock.
        return replace(
            self.clock,
            position=position,
            lengths=None if bool(real.all()) else self.counts,
            resets=tuple(m for m in begins if m > 0),
        )

    def after(self, before: Open) -> Open:
        """Where each lane stands after the chunk."""
        length, above, separated = (self.last(x) for x in (self.into + 1, self.above, self.separates))
        return Open(
            length=self.moved(length, before.length),
            above=self.moved(above, before.above),
            separated=self.moved(separated, before.separated),
        )

    def last(self, x: Shaped[Tensor, "b t *k"]) -> Shaped[Tensor, "b *k"]:
        """What belongs to each lane's last real token."""
        if self.clock.lengths is None:
            return x[:, -1].contiguous()
        return x[torch.arange(len(x), device=x.device), (self.clock.lengths - 1).clamp(min=0)]

    def moved(self, after: Shaped[Tensor, "b *k"], before: Shaped[Tensor, "b *k"]) -> Shaped[Tensor, "b *k"]:
        """The one of lanes that read something, the other of idle ones."""
        if self.clock.lengths is None:
            return after
        read = (self.clock.lengths > 0).reshape(-1, *[1] * (after.ndim - 1))
        return torch.where(read, after, before)

    def look_up(self, slots: int) -> Sight:
        """What each token sees of a line of so many slots and the paragraphs that the chunk finishes."""
        stop = slots + self.done
        start = stop - self.above.clamp(max=slots)
        if len(stop) > 1 and bool((start == start[:1]).all() and (stop == stop[:1]).all()):
            start, stop = start[:1], stop[:1]
        lanes, time = self.done.shape
        blocks: list[Block] = []
        for at in range(0, time, ROWS):
            queries = slice(at, min(at + ROWS, time))
            first, last = start[:, queries], stop[:, queries]
            some = first < last
            if not bool(some.any()):
                continue
            keys = slice(int(first[some].min()), int(last[some].max()))
            index = torch.arange(keys.start, keys.stop, device=first.device)
            visible = (index >= first[..., None]) & (index < last[..., None])
            blocks.append(Block(queries=queries, keys=keys, visible=visible.expand(lanes, -1, -1)))
        return Sight(capacity=slots, oldest=0, blocks=tuple(blocks))

    def _at_ends(self, x: Int[Tensor, "b t"]) -> Int[Tensor, "b m"]:
        found = x.new_zeros(len(x), self.most)
        lane, token = self.ends.nonzero(as_tuple=True)
        found[lane, self.done[lane, token] - 1] = x[lane, token]
        return found


def in_paragraphs(tokens: Tokens, clock: Clock, before: Open, *, longest: int, separator: int | None) -> Paragraphs:
    """The tokens of a chunk in paragraphs.

    Args:
        tokens: those of the call that `clock` belongs to.
        clock: where they stand in their documents.
        before: where each lane stands; whatever it says of a lane whose document begins is ignored.
        longest: tokens of a paragraph at most; without a separator, of every one but a document's last.
        separator: the token after a run of which a paragraph begins.
    """
    index = torch.arange(clock.time, device=tokens.device)
    begins = clock.position == 0
    separates = torch.zeros_like(begins) if separator is None else tokens == separator
    follows = torch.cat([before.separated[:, None], separates[:, :-1]], dim=1) & ~separates
    origin = torch.where(begins | follows, index, -1).cummax(dim=1).values
    origin = torch.where(origin < 0, -before.length[:, None], origin)
    into = (index - origin) % longest
    real = torch.ones_like(begins) if clock.valid is None else clock.valid
    ends = (into == 0) & ~begins & real
    done = ends.cumsum(dim=1)
    base = torch.where(begins & real, done, -1).cummax(dim=1).values
    return Paragraphs(
        clock=clock,
        into=into,
        above=torch.where(base < 0, before.above[:, None] + done, done - base),
        done=done,
        piece=((into == 0) & real).cumsum(dim=1),
        ends=ends,
        separates=separates,
    )
