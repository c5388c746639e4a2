"""How much of a token's loss reaches the memory of earlier times.

    g_k = | d loss_t / d memory_(t-k) |      k = 1, 2, 4, ... and the whole stretch

A stretch is cut k tokens before its end, and the norm is over all numbers that the memory there held. Cuts change no
result (law 1), so one pass gives every age, whatever the chunks of training are. A memory that nothing is read from,
that of a document that has not begun, has 0.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from everlong.data import Chunk
from everlong.memory import Memory
from everlong.models.base import AnyLanguageModel
from everlong.shapes import IGNORE


def gradient_ages(model: AnyLanguageModel, stretch: Sequence[Chunk], memory: Memory) -> dict[str, float]:
    """``age_gradient_K`` by age in tokens: means over the lanes whose last token has a target.

    Args:
        model: what reads.
        stretch: successive chunks of tokens; it ends with the last token that has a target in any lane.
        memory: what they are read with.
    """
    tokens = torch.cat([chunk.tokens for chunk in stretch], dim=1)
    targets = torch.cat([chunk.targets for chunk in stretch], dim=1)
    starts = torch.cat([chunk.starts for chunk in stretch], dim=1)
    asked = (targets != IGNORE).any(dim=0).nonzero()
    if not len(asked):
        return {}
    end = int(asked[-1]) + 1
    losses, memories = read_with_cuts(model, tokens[:, :end], targets[:, :end], starts[:, :end], memory)
    counted = targets[:, end - 1] != IGNORE
    leaves = [leaf for held in memories.values() for leaf in _numbers(held)]
    gradients = iter(torch.autograd.grad(losses.sum(), leaves, materialize_grads=True))
    found: dict[str, float] = {}
    for age, held in memories.items():
        squares = torch.zeros(len(tokens), dtype=torch.float64, device=tokens.device)
        for gradient in [next(gradients) for _ in _numbers(held)]:
            squares += gradient.double().flatten(1).square().sum(dim=1)
        found[f"age_gradient_{age}"] = float(squares.sqrt()[counted].mean())
    return found


def read_with_cuts(
    model: AnyLanguageModel, tokens: Tensor, targets: Tensor, starts: Tensor, memory: Memory
) -> tuple[Tensor, dict[int, Any]]:
    """The last token's losses ``[b]``, and by age in tokens the memories that were held on the way there."""
    time = tokens.shape[1]
    ages = [time, *(age for age in reversed([1 << n for n in range(time.bit_length())]) if age < time)]
    held: Any = memory.map(lambda leaf: leaf.detach().requires_grad_() if leaf.is_floating_point() else leaf)
    memories: dict[int, Any] = {}
    losses = torch.zeros_like(tokens, dtype=model.dtype)
    for age, following in zip(ages, [*ages[1:], 0], strict=True):
        memories[age] = held
        here = slice(time - age, time - following)
        losses, held, _ = model.token_losses(tokens[:, here], targets[:, here], held, starts=starts[:, here])
    return losses[:, -1], dict(reversed(memories.items()))


def _numbers(memory: Memory) -> list[Tensor]:
    return [leaf for leaf in memory.flatten().values() if leaf.is_floating_point()]
