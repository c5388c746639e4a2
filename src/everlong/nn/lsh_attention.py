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
from jaxtyping import Float, Int
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
    """The same for a token that is read alone. It looks through the whole ring: sorting it would take longer.

    Args:
        query: the token's.
        line: keys and values of the ring and of the token, side by side (k = 2he).
        buckets: of the line.
        clock: of the token.
        sight: how much of its buckets a token sees.
    """
    ring = buckets.shape[-1] - 1
    mine = torch.arange(ring, device=query.device) >= ring - clock.before[:, None]
    same = (buckets[..., :-1] == buckets[..., -1:]) & mine[:, None, None]
    newest = same & (same.flip(-1).cumsum(dim=-1).flip(-1) <= sight.bucket_size)
    times = newest.sum(dim=2) if sight.count_duplicates else newest.any(dim=2)
    itself = (times == 0).all(dim=-1, keepdim=True)
    bias = torch.cat([times, itself], dim=-1).to(query.dtype).log()[:, :, None]
    key, value = (part.unflatten(-1, query.shape[2:]) for part in line.chunk(2, dim=-1))
    heads_first = (x.transpose(1, 2) for x in (query, key, value))
    return F.scaled_dot_product_attention(*heads_first, attn_mask=bias, scale=1.0).transpose(1, 2)


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
