"""Adaptive softmax and adaptive embedding, one token at a time (Grave et al., 2017; Baevski & Auli, 2019)."""

from collections.abc import Sequence

import torch
from torch import Tensor


def cluster_of(token: int, edges: Sequence[int]) -> int:
    """The frequency cluster of a token; `edges` begin with 0 and end with the size of the vocabulary."""
    return next(i for i in range(len(edges) - 1) if edges[i] <= token < edges[i + 1])


def embed_one(token: int, *, tables: Sequence[Tensor], projections: Sequence[Tensor], edges: Sequence[int]) -> Tensor:
    """``sqrt(d) P_c E_c[token]``, with a table and a projection ``[d, width]`` for each cluster."""
    cluster = cluster_of(token, edges)
    return projections[cluster].shape[0] ** 0.5 * (projections[cluster] @ tables[cluster][token - edges[cluster]])


def log_probability_one(
    hidden: Tensor,
    token: int,
    *,
    tables: Sequence[Tensor],
    biases: Sequence[Tensor],
    projections: Sequence[Tensor],
    cluster_weight: Tensor,
    cluster_bias: Tensor,
    edges: Sequence[int],
) -> Tensor:
    """``log p(w) = log p_head(shortlist token or cluster) + log p_tail(w | cluster)`` for one hidden state ``[d]``."""
    short = hidden @ projections[0]
    head = torch.cat([tables[0] @ short + biases[0], cluster_weight @ short + cluster_bias])
    log_head = head - head.exp().sum().log()
    cluster = cluster_of(token, edges)
    if cluster == 0:
        return log_head[token]
    tail = tables[cluster] @ (hidden @ projections[cluster]) + biases[cluster]
    log_tail = tail - tail.exp().sum().log()
    return log_head[edges[1] + cluster - 1] + log_tail[token - edges[cluster]]
