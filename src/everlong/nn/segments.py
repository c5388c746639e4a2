"""A document cut into segments, and seen twice over: word for word, and before that in blocks.

    s = p - p mod segment                                           where the segment of position p began
    e = max(0, s - mem_len), rounded down to a multiple of rate     the recent memory: e to p, word for word
    n = e / rate                                                    the compressed memory: blocks n - cmem_len to n - 1

Block `j` is the positions ``[j rate, (j + 1) rate)``. All of it is arithmetic on the position in the document, so no
token sees more or less when the caller cuts the stream elsewhere. Rounding down leaves no gap between the two memories
when sizes do not divide; where they do, it changes nothing.

To attend, a token puts the blocks it sees right before the oldest token it sees: the line on which distance is a
difference of indices (everlong.nn.window) goes on, one place for a block.

    seen by token p     [ block n - cmem_len … block n - 1 ][ token e … token p ]
    distance            p - e + cmem_len … p - e + 1          p - e … 0

Tokens of a lane that lie in one segment see the same blocks and share that line. A chunk is cut into such runs.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from everlong.clock import Clock
from everlong.nn.window import QUERY_BLOCK, Block, Sight

P = TypeVar("P", int, Tensor)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Sizes, and what follows from them and a position; positions are numbers or tensors."""

    segment: int
    mem_len: int
    cmem_len: int
    rate: int
    at_once: bool
    """Whether a segment's slots are made when it leaves the recent memory, and not each when its block is complete."""

    @property
    def recent(self) -> int:
        """Tokens that the last one of a segment sees word for word at most, itself included."""
        common = math.gcd(self.segment, self.rate)
        rounding = self.rate - common + -self.mem_len % common
        return self.mem_len + rounding + self.segment

    @property
    def slots(self) -> int:
        """Slots to keep: those in sight, and those that wait until their block has left the recent memory."""
        return self.cmem_len + (0 if self.at_once else (self.recent - 1) // self.rate)

    def edge(self, position: P) -> P:
        """Where the recent memory of a token begins."""
        early = position - position % self.segment - self.mem_len
        return early * (early > 0) // self.rate * self.rate

    def left(self, position: P) -> P:
        """How many blocks have left the recent memory of a token."""
        return self.edge(position) // self.rate

    def made(self, position: P) -> P:
        """How many slots a document has when the token at a position arrives."""
        return self.left(position) if self.at_once else position // self.rate

    def reach(self, *, layers: int, context: int) -> int:
        """How many tokens back so many layers see together, where slots are made of `context` tokens more."""
        before = self.cmem_len * self.rate + context
        # After these many tokens the beginning of the document is out of sight, and segments and blocks meet as ever.
        period = math.lcm(self.segment, self.rate)
        far = (layers * (self.recent + before) // period + 1) * period
        farthest = 0
        for newest in range(far + self.segment - 1, far + period, self.segment):
            oldest = newest
            for _ in range(layers):
                oldest = self.edge(oldest) - before
            farthest = max(farthest, newest - oldest)
        return farthest


@dataclass(frozen=True, kw_only=True)
class Run:
    """Consecutive tokens of a lane in one segment. They see the same past, and then one another.

    Tokens are counted from the first of the chunk, so what a ring holds has negative indices; slots are counted from
    the first that the chunk makes.
    """

    tokens: slice
    edge: int
    """The position at which the recent memory begins."""

    recent: int
    """Where that is."""

    began: int
    """Where the segment began."""

    slots: slice
    """The compressed memory."""

    leaving: int
    """How many of the oldest tokens of the recent memory leave it when the segment ends."""

    ends: bool
    """Whether the segment ends with this run."""

    makes: int
    """How many slots are made in its course."""

    @property
    def length(self) -> int:
        """Entries of the line that the last token sees."""
        return self.slots.stop - self.slots.start + self.tokens.stop - self.recent


@dataclass(frozen=True, kw_only=True)
class Runs:
    """A chunk as runs, what they need of the memory, and what they leave to it."""

    lanes: tuple[tuple[Run, ...], ...]
    """The runs of every lane, in order; those of one lane where all lanes are in step."""

    past: int
    """Entries of the ring of recent tokens that someone sees."""

    slots: slice
    """Slots that someone sees, counted from the first that the chunk makes."""

    longest: int
    """Entries of the longest line."""

    made: tuple[int, ...]
    """Slots that each lane makes, as `lanes`."""

    @property
    def width(self) -> int:
        """Slots that the busiest lane makes."""
        return max(self.made)

    def by_lane(self, *tensors: Tensor) -> Iterator[tuple[Any, ...]]:
        """The runs of each lane, with the lane's part of each tensor; lanes in step stay together."""
        if len(self.lanes) == 1:
            return iter([(self.lanes[0], *tensors)])
        return zip(self.lanes, *(x.split(x.shape[0] // len(self.lanes)) for x in tensors), strict=True)

    def clock_of_slots(self, clock: Clock) -> Clock:
        """The clock of the chunk for a ring of slots, which moves on by slots and not by tokens."""
        even = all(made == self.width for made in self.made)
        lengths = None if even else torch.tensor(self.made, device=clock.position.device)
        return replace(clock, lengths=lengths)


def runs_of(clock: Clock, grid: Grid) -> Runs:
    """Cut a chunk where a lane's segment ends or its document does."""
    ends = [clock.time] * clock.position.shape[0] if clock.lengths is None else clock.lengths.tolist()
    # Positions count up from these columns on.
    known = [0, *clock.resets]
    lanes = [(tuple(row), end) for row, end in zip(clock.position[:, known].tolist(), ends, strict=True)]
    if len(set(lanes)) == 1:
        lanes = lanes[:1]
    runs = [_runs_of_a_lane(grid, list(zip(known, row, strict=True)), end) for row, end in lanes]
    every = [run for lane in runs for run in lane]
    starts, stops = [run.slots.start for run in every], [run.slots.stop for run in every]
    return Runs(
        lanes=tuple(tuple(lane) for lane in runs),
        past=max((-run.recent for run in every if run.recent < 0), default=0),
        slots=slice(min(starts, default=0), max(stops, default=0)),
        longest=max((run.length for run in every), default=1),
        made=tuple(sum(run.makes for run in lane) for lane in runs),
    )


def _runs_of_a_lane(grid: Grid, known: list[tuple[int, int]], end: int) -> list[Run]:
    """The runs of a lane whose positions count up from the columns and positions that are known."""
    cuts = dict(known[:1])
    for (column, position), (stop, _) in pairwise([*known, (end, 0)]):
        cuts |= {t: position + t - column for t in range(column + -position % grid.segment, stop, grid.segment)}
    begins = sorted((t, position) for t, position in cuts.items() if t < end)
    found: list[Run] = []
    made = 0
    for (begin, position), (stop, _) in pairwise([*begins, (end, 0)]):
        after = position + stop - begin
        edge, began = grid.edge(position), position - position % grid.segment
        # The newest slot at this point is the newest of all that the lane has made so far.
        origin, left = made - grid.made(position), grid.left(position)
        run = Run(
            tokens=slice(begin, stop),
            edge=edge,
            recent=begin - (position - edge),
            began=begin - (position - began),
            slots=slice(origin + max(0, left - grid.cmem_len), origin + left),
            leaving=grid.edge(began + grid.segment) - edge,
            ends=after % grid.segment == 0,
            makes=grid.made(after) - grid.made(position),
        )
        made += run.makes
        found.append(run)
    return found


@dataclass(frozen=True, kw_only=True)
class NewBlocks:
    """The blocks that a chunk completes: where their tokens are, and where their slots go."""

    index: Int[Tensor, "n c"]
    """Their tokens among the rows of all lanes, one lane's line of layer inputs after another's."""

    absent: Bool[Tensor, "n c"] | None
    """Context from before the document began; ``None`` where there is no context."""

    place: Int[Tensor, "n"]
    """Their slots among the rows of all lanes, `width` a lane."""

    width: int
    """How many the busiest lane completes."""

    def take(self, line: Float[Tensor, "b u d"]) -> Float[Tensor, "n c d"]:
        """Blocks with the context before them, which is zero where it is absent."""
        # index_select adds up whole rows in its backward pass, indexing goes number by number.
        blocks = line.flatten(0, 1).index_select(0, self.index.flatten()).unflatten(0, self.index.shape)
        return blocks if self.absent is None else torch.where(self.absent[..., None], 0, blocks)

    def give(self, slots: Float[Tensor, "n k"], *, lanes: int) -> Float[Tensor, "b w k"]:
        """The slots of blocks, each in its lane, oldest first; zeros after a lane's last."""
        rows = slots.new_zeros(lanes * self.width, slots.shape[1])
        return rows.index_copy(0, self.place, slots).unflatten(0, (lanes, self.width))


def new_blocks(clock: Clock, runs: Runs, *, rate: int, context: int) -> NewBlocks:
    """Find the blocks of a chunk on a line of as many earlier layer inputs as its first block may need."""
    complete = (clock.position + 1) % rate == 0
    if clock.valid is not None:
        complete &= clock.valid
    lane, token = complete.nonzero(as_tuple=True)
    back = torch.arange(1 - rate - context, 1, device=lane.device)
    before = rate - 1 + context
    index = (lane * (before + clock.time) + before + token)[:, None] + back
    absent = clock.position[lane, token][:, None] + back < 0 if context else None
    place = lane * runs.width + complete.cumsum(dim=1)[lane, token] - 1
    return NewBlocks(index=index, absent=absent, place=place, width=runs.width)


def split(query: Float[Tensor, "b t h e"], lane: tuple[Run, ...]) -> tuple[list[Tensor], list[Tensor]]:
    """The queries ``[b r h e]`` of each run of a lane, and zeros in the place of its padding."""
    sizes = [run.tokens.stop - run.tokens.start for run in lane]
    if sizes == [query.shape[1]]:
        return [query], []
    padding = query.shape[1] - sum(sizes)
    if not padding:
        return list(query.split(sizes, dim=1)), []
    *parts, rest = query.split([*sizes, padding], dim=1)
    return parts, [torch.zeros_like(rest)]


def between(past: Tensor, chunk: Tensor, start: int, stop: int) -> list[Tensor]:
    """Entries ``[b s k]`` from `start` to `stop`, counted from the chunk's first: of the past, then of the chunk."""
    parts: list[Tensor] = []
    if start < min(stop, 0):
        parts.append(past[:, past.shape[1] + start : past.shape[1] + min(stop, 0)])
    if max(start, 0) < stop:
        parts.append(chunk[:, max(start, 0) : stop])
    return parts


def join(parts: list[Tensor], *, like: Tensor) -> Float[Tensor, "b u *k"]:
    """The parts one after another, in the type of `like`; nothing of its shape where there are none."""
    parts = [part.to(like.dtype) for part in parts] or [like[:, :0]]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


@lru_cache(maxsize=64)
def in_order(queries: int, keys: int) -> Sight:
    """The sight of the last tokens of a line: all up to themselves. Token by token it is soon always the same."""
    blocks = [
        Block(queries=slice(at, stop), keys=slice(0, keys - queries + stop), visible=None)
        for at in range(0, queries, QUERY_BLOCK)
        for stop in [min(at + QUERY_BLOCK, queries)]
    ]
    return Sight(capacity=keys - queries, oldest=0, blocks=tuple(blocks))
