"""Softmax attention of every token to every real token of its lane, on both sides.

o_t = sum_k softmax_k( q_t . k_k / sqrt(e) ) v_k          k over the real tokens of the lane of t
"""

from collections.abc import Sequence
from itertools import groupby

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from everlong.nn.packing import Packing


def attend_both_sides(
    query: Float[Tensor, "b t h e"],
    key: Float[Tensor, "b s h e"],
    value: Float[Tensor, "b s h e"],
    *,
    valid: Bool[Tensor, "b s"] | Packing | None,
    dropout: float = 0.0,
) -> Float[Tensor, "b t h e"]:
    """Scaled dot-product attention (Vaswani et al., 2017, eq. 1) without a direction.

    Args:
        query: one per token; padding gets finite numbers of no meaning.
        key: those of the lane.
        value: as `key`.
        valid: which keys are real, the real ones first, or how texts are packed; ``None`` when all keys are real.
        dropout: share of attention weights dropped.
    """
    if isinstance(valid, Packing):
        texts = zip(*(x[0].split(valid.lengths) for x in (query, key, value)), strict=True)
        seen = [_fused(*(x[None] for x in text), mask=None, dropout=dropout)[0] for text in texts]
        return torch.cat(seen)[None]
    mask = None
    if valid is not None:
        # An empty lane sees its first place, for a softmax over nothing is no number.
        mask = (valid | (torch.arange(valid.shape[1], device=valid.device) == 0))[:, None, None]
    return _fused(query, key, value, mask=mask, dropout=dropout)


def attend_to_source(
    query: Float[Tensor, "b t h e"],
    source: Float[Tensor, "b s k"],
    *,
    lengths: Int[Tensor, "b"] | None,
    dropout: float = 0.0,
) -> Float[Tensor, "b t h e"]:
    """The same for tokens that look at another text; those that have none find zeros.

    A processor takes neighbouring lanes of one length together and the real keys alone: no mask, and no copy of a
    source that is looked at once for every token. Other devices take all lanes, with a mask.

    Args:
        query: one per token.
        source: keys and values, side by side (k = 2he). Those of padding may hold anything.
        lengths: how many are real; ``None`` when all are.
        dropout: share of attention weights dropped.
    """
    if source.shape[1] == 0:
        return torch.zeros_like(query)
    source = source.to(query.dtype)
    if lengths is None:
        return _look(query, source, mask=None, dropout=dropout)
    if query.device.type != "cpu":
        return attend_to_padded(query, source, lengths=lengths, dropout=dropout)
    runs = _runs(lengths.tolist())
    lanes = [count for count, _ in runs]
    parts = zip(query.split(lanes), source.split(lanes), runs, strict=True)
    return torch.cat([_look(q, kept[:, :length], mask=None, dropout=dropout) for q, kept, (_, length) in parts])


def attend_to_padded(
    query: Float[Tensor, "b t h e"], source: Float[Tensor, "b s k"], *, lengths: Int[Tensor, "b"], dropout: float
) -> Float[Tensor, "b t h e"]:
    """As `attend_to_source`, all lanes at once: a mask hides padding, and zeros take its place."""
    real = torch.arange(source.shape[1], device=query.device) < lengths[:, None]
    source = torch.where(real[..., None], source, 0)
    return _look(query, source, mask=(real | (lengths == 0)[:, None])[:, None, None], dropout=dropout)


def _look(
    query: Float[Tensor, "b t h e"], kept: Float[Tensor, "b s k"], *, mask: Tensor | None, dropout: float
) -> Float[Tensor, "b t h e"]:
    if kept.shape[1] == 0:
        return torch.zeros_like(query)
    key, value = (part.unflatten(-1, query.shape[2:]) for part in kept.chunk(2, dim=-1))
    return _fused(query, key, value, mask=mask, dropout=dropout)


def _runs(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """How many neighbours have each length."""
    return [(len(list(same)), length) for length, same in groupby(lengths)]


def _fused(query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None, dropout: float) -> Tensor:
    heads_first = (x.transpose(1, 2) for x in (query, key, value))
    return F.scaled_dot_product_attention(*heads_first, attn_mask=mask, dropout_p=dropout).transpose(1, 2)
