"""Truncated backpropagation through time, as one forward pass."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from everlong.data import Chunk
from everlong.memory import Memory
from everlong.models.base import AnyLanguageModel
from everlong.train.objective import Objective


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
            summed, memory, others = self.read(chunk, memory)
            nats.append(summed)
            aux = {name: aux[name] + loss if name in aux else loss for name, loss in others.items()}
        return torch.stack(nats).sum(), memory and memory.detach(), aux

    def read(self, chunk: Chunk, memory: Memory | None) -> tuple[Float[Tensor, ""], Memory, Mapping[str, Tensor]]:
        """One chunk: its summed loss, the next memory and the memory's own losses."""
        with self.autocast():
            losses, after, others = self.model.token_losses(
                chunk.tokens, chunk.targets, memory, starts=chunk.starts, lengths=chunk.lengths
            )
        return losses.sum(), after, others
