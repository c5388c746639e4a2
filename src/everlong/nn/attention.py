"""Softmax attention over a line of keys, computed block by block so that time and memory follow what is visible.

    o_t = sum_k softmax_k( q_t . k_k / sqrt(e) ) v_k          k over the entries of the line that t sees

`Sight` (everlong.nn.window) says who sees what; `tests/reference` holds the plain quadratic twin of everything here.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from everlong.nn.window import Block, Sight


def attend(
    query: Float[Tensor, "b t h e"],
    key: Float[Tensor, "b s h e"],
    value: Float[Tensor, "b s h e"],
    *,
    sight: Sight,
    dropout: float = 0.0,
) -> Float[Tensor, "b t h e"]:
    """Scaled dot-product attention (Vaswani et al., 2017, eq. 1) of a chunk over ring and chunk.

    Args:
        query: one per token of the chunk.
        key: the line from ``sight.oldest`` on: remembered keys, then the chunk's.
        value: as `key`.
        sight: who sees what.
        dropout: share of attention weights dropped.
    """
    out: list[Tensor] = []
    for block in sight.blocks:
        seen = block.keys
        part = F.scaled_dot_product_attention(
            query[:, block.queries].transpose(1, 2),
            key[:, seen].transpose(1, 2),
            value[:, seen].transpose(1, 2),
            attn_mask=block_mask(block, device=query.device),
            dropout_p=dropout,
        )
        out.append(part.transpose(1, 2))
    return out[0] if len(out) == 1 else torch.cat(out, dim=1)


def block_mask(block: Block, *, device: torch.device) -> Bool[Tensor, "#b 1 t s"] | None:
    """Which keys each query of a block sees, for all heads; ``None`` when a single query sees them all."""
    if block.visible is not None:
        return block.visible[:, None]
    queries, keys = block.queries.stop - block.queries.start, block.keys.stop - block.keys.start
    if queries == 1:
        return None
    return torch.ones(1, 1, queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


def scale(width: int) -> float:
    """The factor ``1 / sqrt(e)`` of scaled dot-product attention."""
    return 1 / math.sqrt(width)
