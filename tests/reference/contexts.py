"""How much context helps, as its definitions say it: one token at a time, one window a token, sums in plain Python."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from everlong.models.base import AnyLanguageModel


@torch.no_grad()
def loss_after(model: AnyLanguageModel, tokens: Tensor, target: int, context: int) -> float:
    """Nats of token `target` of ``[t]`` for a model that has read the `context` tokens before it and nothing else."""
    memory = model.init_memory(1)
    logits = torch.empty(0)
    for token in tokens[target - context : target]:
        logits, memory = model(token.view(1, 1), memory)
    return -float(logits[0, -1].log_softmax(dim=-1)[tokens[target]])


def relative_loss(baseline: Sequence[float], long: Sequence[float], hardest: Sequence[int]) -> float:
    """``f(c, c')``: the mean over the hardest positions of the smaller of both losses."""
    return sum(min(baseline[t], long[t]) for t in hardest) / len(hardest)


def effective_length(contexts: Sequence[int], losses: Sequence[Sequence[float]], *, share: float) -> int:
    """The paper's algorithm, with the next context in place of ``c + step``; the last one where every step gains."""
    for i in range(len(contexts) - 1):
        order = sorted(range(len(losses[i])), key=lambda t, row=losses[i]: -row[t])
        hardest = order[: max(1, round(share * len(order)))]
        before = math.exp(relative_loss(losses[i], losses[i], hardest))
        after = math.exp(relative_loss(losses[i], losses[i + 1], hardest))
        if (before - after) / before < 0.01:
            return contexts[i]
    return contexts[-1]
