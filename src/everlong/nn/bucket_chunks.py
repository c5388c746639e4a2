"""Buckets of a whole text, as the paper sorts them: by bucket and then by time, cut into chunks of one size.

A token sees the tokens of its own chunk and of the chunk before it, the first chunk those of the last, whatever their
buckets. Only real tokens are sorted into chunks: padding moves nothing.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int
from torch import Tensor

from everlong.nn.hashing import bucket_order
from everlong.nn.tiles import Bias, Tiles, places

PADDING = 2**15 - 1
"""A bucket behind all others."""


@dataclass(frozen=True, kw_only=True)
class Chunks(Tiles):
    """A query sees all keys of its tile but itself; where it is causal, all that are earlier."""

    causal: bool
    count_duplicates: bool
    chunk_of: Int[Tensor, "p r u"]
    """In which chunk of every round each token is, with 0 for none."""
    filled: Int[Tensor, "p"]
    """How many chunks of a head's lane hold tokens."""

    def biases(self, like: Tensor) -> Bias:
        """Minus infinity for what a query does not see, and 0 for the rest."""

        def bias(heads: slice, span: slice) -> Tensor:
            query, key = (x[heads].flatten(0, 1)[span] for x in (self.queries, self.keys))
            query, key = query[:, :, None], key[:, None]
            hidden = (key >= query if self.causal else key == query) | (key == self.length)
            if not self.count_duplicates:
                hidden |= self._seen_before(query, key, heads, span)
            return like.new_zeros(hidden.shape).masked_fill_(hidden, -torch.inf)

        return bias

    def _seen_before(self, query: Tensor, key: Tensor, heads: slice, span: slice) -> Bool[Tensor, "n q k"]:
        """Which keys an earlier round has shown to a query."""
        chunk_of, filled = self.chunk_of[heads], self.filled[heads].clamp(min=1)
        (size, rounds, _), count = chunk_of.shape, self.queries.shape[1]
        tile = torch.arange(size * count, device=key.device)[span, None, None]
        head, its_round = tile // count, tile % count * rounds // count
        seen = (query < 0) & (key < 0)
        for n in range(rounds - 1):
            behind = (chunk_of[head, n, query] - chunk_of[head, n, key]) % filled[head]
            seen |= (behind <= 1) & (its_round > n)
        return seen


def sorted_chunks(
    buckets: Int[Tensor, "b h r t"],
    *,
    size: int,
    causal: bool,
    count_duplicates: bool,
    lengths: Int[Tensor, "b"] | None,
) -> Chunks:
    """Tiles for whole texts: every chunk and the one before it.

    Args:
        buckets: of every token in every round.
        size: tokens of a chunk.
        causal: whether a token sees only earlier ones.
        count_duplicates: whether what two rounds show counts twice.
        lengths: how many tokens are real; ``None`` when all are.
    """
    lanes, heads, rounds, time = buckets.shape
    real = torch.full((lanes,), time, device=buckets.device) if lengths is None else lengths
    inside = torch.arange(time, device=buckets.device) < real[:, None, None, None]
    order = bucket_order(buckets.where(inside, PADDING).to(torch.int16)).where(inside, time)
    chunks = F.pad(order, (0, -time % size), value=time).unflatten(-1, (-1, size))
    filled = (real + size - 1) // size
    number = torch.arange(chunks.shape[3], device=buckets.device)
    before = torch.where(number > 0, number - 1, filled[:, None] - 1).clamp(min=0)
    # A lane with one chunk has none before it, and behind its last one there are none.
    has_one = (filled[:, None] > 1) & (number < filled[:, None])
    before, has_one = (x[:, None, None, :, None].expand_as(chunks) for x in (before, has_one))
    previous = chunks.gather(3, before).where(has_one, time)
    keys = torch.cat([previous, chunks], dim=-1)
    chunk_of = chunks.new_zeros(lanes, heads, rounds, time + 1)
    chunk_of.scatter_(-1, chunks.flatten(3), number.repeat_interleave(size).expand(lanes, heads, rounds, -1))
    chunks, keys, chunk_of = (x.flatten(0, 1) for x in (chunks, keys, chunk_of))
    return Chunks(
        queries=chunks.flatten(1, 2),
        keys=keys.flatten(1, 2),
        query_places=places(chunks, count=time, stretch=size),
        rounds=rounds,
        length=time,
        causal=causal,
        count_duplicates=count_duplicates,
        chunk_of=chunk_of,
        filled=filled.repeat_interleave(heads),
    )
