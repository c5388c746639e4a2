"""Softmax attention of every token to every real token of its lane, on both sides.

o_t = sum_k softmax_k( q_t . k_k / sqrt(e) ) v_k          k over the real tokens of the lane of t
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def attend_both_sides(
    query: Float[Tensor, "b t h e"],
    key: Float[Tensor, "b s h e"],
    value: Float[Tensor, "b s h e"],
    *,
    valid: Bool[Tensor, "b s"] | None,
    dropout: float = 0.0,
) -> Float[Tensor, "b t h e"]:
    """Scaled dot-product attention (Vaswani et al., 2017, eq. 1) without a direction.

    Args:
        query: one per token; padding gets finite numbers of no meaning.
        key: those of the lane.
        value: as `key`.
        valid: which keys are real, the real ones first; ``None`` when all are.
        dropout: share of attention weights dropped.
    """
    mask = None
    if valid is not None:
        # An empty lane sees its first place, for a softmax over nothing is no number.
        mask = (valid | (torch.arange(valid.shape[1], device=valid.device) == 0))[:, None, None]
    heads_first = (x.transpose(1, 2) for x in (query, key, value))
    return F.scaled_dot_product_attention(*heads_first, attn_mask=mask, dropout_p=dropout).transpose(1, 2)
