"""Truncated backpropagation through time, as one forward pass."""

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from everlong.data import Chunk
from everlong.memory import Memory
from everlong.models.base import AnyLanguageModel
from everlong.train.objective import Objective


@final
class StreamLoss(Objective[Chunk]):
    """Loss of the next tokens. Gradients flow from chunk to chunk and stop at the window's edges."""

    model: AnyLanguageModel

    def forward(
        self, window: Sequence[Chunk], memory: Memory | None
    ) -> tuple[Float[Tensor, ""], Memory | None, dict[str, Tensor]]:
        """Loss in nats summed over targets, the memory cut off from its past, and the memory's own losses, summed."""
        nats: list[Tensor] = []
        aux: dict[str, Tensor] = {}
        for chunk in window:
            with self.autocast():
                losses, memory, others = self.model.token_losses(
                    chunk.tokens, chunk.targets, memory, starts=chunk.starts, lengths=chunk.lengths
                )
            nats.append(losses.sum())
            aux = {name: aux[name] + loss if name in aux else loss for name, loss in others.items()}
        return torch.stack(nats).sum(), memory and memory.detach(), aux
