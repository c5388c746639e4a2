"""Attention among tokens of the same bucket (Kitaev et al., 2020): in a stream, and as the paper has it.

    s_tk = q_t . k_k        k = q / |q|          a query is a key as well, made one long; no 1/sqrt(e), as in trax
    o_t  = sum_k softmax_k(s_tk) v_k             k over all that t sees, in any round of hashing

A token sees itself only where it sees nothing else. What two rounds show counts twice, or (`count_duplicates` off) in
the first of them alone, which comes to the same as the paper's correction of both by the logarithm of their number.

In a stream (`attend_hashed`) a token sees in each round the last few of its bucket (everlong.nn.bucket_bands). In the
paper (`attend_chunks`) what is sorted by bucket is cut into chunks, and a token sees its own chunk and the one before,
whatever their buckets: who shares a chunk depends on the whole text (everlong.nn.bucket_chunks).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from everlong.clock import Clock
from everlong.nn.bucket_bands import BucketSight, bands
from everlong.nn.bucket_chunks import sorted_chunks
from everlong.nn.tiles import attend_tiles


def attend_hashed(
    query: Float[Tensor, "b t h e"],
    key: Float[Tensor, "b t h e"],
    value: Float[Tensor, "b t h e"],
    buckets: Int[Tensor, "b h r s"],
    *,
    past: Float[Tensor, "b g k"],
    clock: Clock,
    sight: BucketSight,
) -> Float[Tensor, "b t h e"]:
    """Attention of a chunk over its buckets, in ring and chunk.

    Args:
        query: one per token of the chunk.
        key: as `query`, each one long.
        value: as `query`.
        buckets: of the line: what is left of the ring, then the chunk.
        past: keys and values of the ring, side by side (k = 2he): no more than ``context - 1`` entries.
        clock: of the chunk.
        sight: how much of its buckets a token sees.
    """
    return attend_tiles(query, key, value, past=past, tiles=bands(buckets, clock=clock, sight=sight))


def attend_alone(
    query: Float[Tensor, "b 1 h e"],
    line: Float[Tensor, "b s k"],
    buckets: Int[Tensor, "b h r s"],
    *,
    clock: Clock,
    sight: BucketSight,
) -> Float[Tensor, "b 1 h e"]:
    """The same for a token that is read alone: what it sees is looked up, and nothing else of the ring is read.

    Args:
        query: the token's.
        line: keys and values of the ring and of the token, side by side (k = 2he).
        buckets: of the line.
        clock: of the token.
        sight: how much of its buckets a token sees.
    """
    _, _, heads, width = query.shape
    ring = buckets.shape[-1] - 1
    same = buckets[..., :-1] == buckets[..., -1:]
    if int(clock.before.min()) < ring:
        mine = torch.arange(ring, device=query.device) >= ring - clock.before[:, None]
        same = same & mine[:, None, None]
    seen = last_of(same, count=sight.bucket_size).flatten(2)
    if not sight.count_duplicates:
        seen = seen.sort(dim=-1).values
        seen[..., 1:].masked_fill_(seen[..., 1:] == seen[..., :-1], -1)
    # A place in which nothing is found shows the token itself. That counts where there is nothing else.
    nothing = seen < 0
    hidden = nothing & ~nothing.all(dim=-1, keepdim=True)
    bias = query.new_zeros(hidden.shape).masked_fill_(hidden, -torch.inf)[:, :, None]
    # An entry is a row for every head's key, and then one for every head's value.
    keys = seen.masked_fill(nothing, ring) * (2 * heads) + torch.arange(heads, device=query.device)[:, None]
    rows = torch.stack([keys, keys + heads], dim=1)
    looks: list[Tensor] = []
    for asking, entries, at, less in zip(query.transpose(1, 2).split(1), line, rows, bias.split(1), strict=True):
        found = entries.reshape(-1, width).index_select(0, at.flatten()).view(2, 1, *at.shape[1:], width)
        looks.append(F.scaled_dot_product_attention(asking, *found, attn_mask=less, scale=1.0))
    return torch.cat(looks).transpose(1, 2)


def last_of(chosen: Bool[Tensor, "*n s"], *, count: int) -> Int[Tensor, "*n c"]:
    """Indices of the last chosen ones of every row, at most `count`, newest first; -1 where there are no more."""
    rows = chosen.flatten(0, -2)
    row, at = rows.nonzero().T.contiguous()
    end = torch.searchsorted(row, torch.arange(len(rows), device=row.device), right=True)
    later = end[row] - 1 - torch.arange(len(row), device=row.device)
    # Those with too many after them all go into one more column, which is not returned.
    found = at.new_full((len(rows), count + 1), -1)
    found[row, later.clamp(max=count)] = at
    return found[:, :count].unflatten(0, chosen.shape[:-1])


def attend_chunks(
    query: Float[Tensor, "b t h e"],
    key: Float[Tensor, "b t h e"],
    value: Float[Tensor, "b t h e"],
    buckets: Int[Tensor, "b h r t"],
    *,
    chunk: int,
    causal: bool,
    count_duplicates: bool,
    lengths: Int[Tensor, "b"] | None = None,
) -> Float[Tensor, "b t h e"]:
    """Attention of whole texts, sorted by bucket and cut into chunks.

    Args:
        query: one per token.
        key: as `query`, each one long.
        value: as `query`.
        buckets: of every token in every round.
        chunk: tokens that stay together when sorted.
        causal: whether a token sees only earlier ones.
        count_duplicates: whether what two rounds show counts twice.
        lengths: how many tokens are real; ``None`` when all are. Padding sees itself and is not seen.
    """
    tiles = sorted_chunks(buckets, size=chunk, causal=causal, count_duplicates=count_duplicates, lengths=lengths)
    nothing = key.new_empty(key.shape[0], 0, 2 * key[0, 0].numel())
    return attend_tiles(query, key, value, past=nothing, tiles=tiles)
