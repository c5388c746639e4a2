"""LongCE, a token at a time (Fang et al., 2024): ``-sum_i min(p(i | all) / p(i | short), c) · log p(i | all)``."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def weighted_loss(model: Any, chunks: Sequence[Any], memory: Any, *, largest: float) -> tuple[Tensor, list[float]]:
    """The weighted loss of some chunks, summed, and the weight of every token that has a target."""
    total, weights = torch.zeros((), dtype=torch.float64), list[float]()
    for chunk in chunks:
        with_all, memory = model(chunk.tokens, memory, starts=chunk.starts)
        with_short, _ = model(chunk.tokens, None, starts=chunk.starts)
        lanes, time = chunk.tokens.shape
        for lane in range(lanes):
            for at in range(time):
                target = int(chunk.targets[lane, at])
                if target < 0:
                    continue
                log_p = with_all[lane, at].log_softmax(dim=0)[target]
                p_short = float(with_short[lane, at].detach().softmax(dim=0)[target])
                weight = min(float(log_p.detach().exp()) / p_short, largest) if at >= time // 2 else 1.0
                total = total - weight * log_p
                weights.append(weight)
    return total, weights
