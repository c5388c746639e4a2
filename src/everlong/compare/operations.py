"""Operations of training, counted: a multiplication and an addition of a matrix product are two."""

import torch
from torch import Tensor

from everlong.data import Chunk
from everlong.memory import Memory
from everlong.models.base import AnyLanguageModel
from everlong.plan.ledger import count


def operations_of_update(model: AnyLanguageModel, chunk: Chunk, memory: Memory | None, *, chunks: int) -> float:
    """Operations of an update of so many chunks like this one, forward and backward; the model stays as it is."""

    def learn() -> None:
        losses, _, others = model.token_losses(
            chunk.tokens, chunk.targets, memory, starts=chunk.starts, lengths=chunk.lengths
        )
        total: Tensor = losses.sum() + sum(others.values(), start=losses.new_zeros(()))
        total.backward()

    with torch.random.fork_rng(devices=[]):
        model.train()
        found = count(learn, model).operations
    model.zero_grad(set_to_none=True)
    return chunks * found
