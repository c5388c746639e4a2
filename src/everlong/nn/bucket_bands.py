"""Buckets of a stream: what a token sees is a band in the order of bucket and time, which nothing later can move.

In every round of hashing a token sees the last `bucket_size` tokens of its bucket and document, out of its `context`.
Sorted by bucket and then by time, these are the ones just before it. The chunk's tokens of a bucket are cut into tiles,
each with the `bucket_size` entries of the line that stand before its first one.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int
from torch import Tensor

from everlong.clock import Clock
from everlong.nn.hashing import bucket_order
from everlong.nn.tiles import Bias, Tiles, places

ROWS = (8, 16, 32, 64)
"""Queries of a tile: with fewer, keys are gathered too often; with more, too many places stay empty."""

GATHERING = 40
"""For how many queries a key could be weighed in the time that it takes to be gathered and to get its gradient."""


@dataclass(frozen=True, kw_only=True)
class BucketSight:
    """How much of its buckets a token sees."""

    n_buckets: int
    bucket_size: int
    """Tokens seen in each round."""
    context: int
    """Tokens out of which they come, the seeing one included."""
    count_duplicates: bool
    """Whether a token that two rounds show counts twice, or in the first of them alone."""


@dataclass(frozen=True, kw_only=True)
class Bands(Tiles):
    """A query sees so many of the keys that stand just before it; the first query's key is number `bucket_size`."""

    sees: Int[Tensor, "p n q"]
    """That many."""
    bucket_size: int
    place: Int[Tensor, "p r u"] | None
    """Where each entry of the line stands in every round's order, with 0 for none; ``None`` where duplicates count."""
    shown: Int[Tensor, "p r u"] | None
    """How many it sees there."""

    def biases(self, like: Tensor) -> Bias:
        """Minus infinity for what a query does not see, and 0 for the rest."""
        rows, width = self.queries.shape[-1], self.keys.shape[-1]
        before = torch.ones(width, width, dtype=torch.bool, device=like.device).tril(-1)
        from_column = like.new_zeros(before.shape).masked_fill_(before, -torch.inf)
        later = like.new_full((rows, width), -torch.inf).triu(self.bucket_size)
        row = self.bucket_size + torch.arange(rows, device=like.device)

        def bias(heads: slice, span: slice) -> Tensor:
            first = row - self.sees[heads].flatten(0, 1)[span]
            hidden = from_column.index_select(0, first.flatten()).view(*first.shape, width).add_(later)
            if self.place is not None and self.shown is not None:
                seen = self._seen_before(self.place[heads], self.shown[heads], heads, span)
                hidden.masked_fill_(seen, -torch.inf)
            return hidden

        return bias

    def _seen_before(self, place: Tensor, shown: Tensor, heads: slice, span: slice) -> Bool[Tensor, "n q k"]:
        """Which keys an earlier round has shown to a query."""
        _, rounds, _ = place.shape
        count = self.queries.shape[1]
        tile = torch.arange(len(place) * count, device=place.device)[span, None, None]
        head, its_round = tile // count, tile % count * rounds // count
        query, key = (x[heads].flatten(0, 1)[span] for x in (self.queries, self.keys))
        query = query[:, :, None] + (self.length - self.time)
        key = key[:, None]
        seen = (query < 0) & (key < 0)
        for n in range(rounds - 1):
            behind = place[head, n, query] - place[head, n, key]
            seen |= (behind > 0) & (behind <= shown[head, n, query]) & (its_round > n)
        return seen


def bands(buckets: Int[Tensor, "b h r s"], *, clock: Clock, sight: BucketSight) -> Bands:
    """Tiles for the tokens of a chunk.

    Args:
        buckets: of the line: what is left of the ring, then the chunk.
        clock: of the chunk.
        sight: how much of its buckets a token sees.
    """
    length, time, size = buckets.shape[-1], clock.time, sight.bucket_size
    line = _in_order(buckets, clock=clock, sight=sight)
    at = torch.arange(length, device=buckets.device).expand_as(line.order)
    grid = _lay_out(line, time=time, sight=sight)
    end = _tally(line.buckets, n=sight.n_buckets).cumsum(dim=-1)
    begin = F.pad(end, (1, -1)).gather(-1, line.buckets)
    low, high = (grid.spread(x, empty=0)[..., :1] for x in (begin, end.gather(-1, line.buckets)))
    key = grid.spread(at, empty=0)[..., :1] + torch.arange(-size, grid.rows, device=buckets.device)
    inside = (key >= low) & (key < high)
    keys = line.order.gather(-1, key.clamp(0, length - 1).flatten(2)).view_as(key).where(inside, length)
    queries = grid.spread(line.order - (length - time), empty=time)
    place = shown = None
    if not sight.count_duplicates:
        place = torch.empty_like(line.order).scatter_(-1, line.order, at)
        place, shown = (F.pad(x, (0, 1)) for x in (place, line.sees.gather(-1, place)))
    return Bands(
        queries=queries.flatten(1, 2),
        keys=keys.flatten(1, 2),
        query_places=places(queries, count=time, stretch=grid.rows),
        rounds=buckets.shape[2],
        length=length,
        sees=grid.spread(line.sees, empty=0).flatten(1, 2),
        bucket_size=size,
        place=place,
        shown=shown,
    )


class _Line(NamedTuple):
    """The line in the order of bucket and time, in every round."""

    order: Int[Tensor, "p r s"]
    """Its entries, in that order."""
    buckets: Int[Tensor, "p r s"]
    """Theirs. One more than there are stands for padding, and for what the ring holds of other documents."""
    sees: Int[Tensor, "p r s"]
    """How many of the entries just before it each of them sees."""


def _in_order(buckets: Tensor, *, clock: Clock, sight: BucketSight) -> _Line:
    length, ring = buckets.shape[-1], buckets.shape[-1] - clock.time
    at = torch.arange(length, device=buckets.device)
    began = torch.cat([-clock.before[:, None].expand(-1, ring), at[: clock.time] - clock.position], dim=1)
    real = at - ring >= began
    if clock.valid is not None:
        real[:, ring:] &= clock.valid
    buckets = torch.where(real[:, None, None], buckets, sight.n_buckets).to(torch.int16)
    order = bucket_order(buckets)
    buckets, began = (x.expand_as(order).gather(-1, order).flatten(0, 1) for x in (buckets, began[:, None, None]))
    order = order.flatten(0, 1)
    another = (buckets[..., 1:] != buckets[..., :-1]) | (began[..., 1:] != began[..., :-1])
    # Numbers that rise by time within a document's bucket, and leap by more than a context to the next.
    height = F.pad(another.cumsum(dim=-1), (1, 0)) * (length + sight.context) + order
    oldest = torch.searchsorted(height, height - sight.context, right=True)
    sees = (at - oldest).clamp(max=sight.bucket_size).where(buckets < sight.n_buckets, 0)
    return _Line(order, buckets.long(), sees)


class _Grid(NamedTuple):
    """Tiles of a round, `n_tiles` of them with so many rows, for the chunk's tokens of every bucket."""

    rows: int
    n_tiles: int
    fresh: Int[Tensor, "p r t"]
    """Where the chunk's tokens are in the ordered line."""
    cell: Int[Tensor, "p r t"]
    """Each one's row, counted through all tiles; one after the last for those of no bucket."""

    def spread(self, entries: Int[Tensor, "p r s"], *, empty: int) -> Int[Tensor, "p r n q"]:
        """What the line has for the chunk's tokens, laid into their rows."""
        theirs = entries.gather(-1, self.fresh)
        rows = theirs.new_full((*theirs.shape[:2], self.n_tiles * self.rows + 1), empty).scatter_(-1, self.cell, theirs)
        return rows[..., :-1].unflatten(-1, (self.n_tiles, self.rows))


def _lay_out(line: _Line, *, time: int, sight: BucketSight) -> _Grid:
    fresh = (line.order >= line.order.shape[-1] - time).nonzero()[:, -1].view(*line.order.shape[:2], time)
    buckets = line.buckets.gather(-1, fresh)
    tokens = _tally(buckets, n=sight.n_buckets)

    tiles = [(tokens + rows - 1) // rows for rows in ROWS]
    most = torch.stack([n[..., :-1].sum(dim=-1).max().clamp(min=1) for n in tiles]).tolist()
    costs = [n * (rows + sight.bucket_size) * (rows + GATHERING) for n, rows in zip(most, ROWS, strict=True)]
    best = costs.index(min(costs))
    rows, n_tiles = ROWS[best], most[best]
    before, first = (F.pad(x.cumsum(dim=-1), (1, -1)).gather(-1, buckets) for x in (tokens, tiles[best]))
    rank = torch.arange(time, device=fresh.device) - before
    cell = (first * rows + rank).where(buckets < sight.n_buckets, n_tiles * rows)
    return _Grid(rows, n_tiles, fresh, cell)


def _tally(buckets: Tensor, *, n: int) -> Int[Tensor, "p r n"]:
    """How many are in each bucket, and in the one that stands for none."""
    return buckets.new_zeros(*buckets.shape[:2], n + 1).scatter_add_(-1, buckets, torch.ones_like(buckets))
