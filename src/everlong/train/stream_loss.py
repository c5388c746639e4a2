"""Truncated backpropagation through time, as one forward pass."""

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from everlong.data import Chunk
from everlong.memory import Memory
from everlong.models.base import AnyLanguageModel
from everlong.shapes import IGNORE

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@final
class StreamLoss(nn.Module):
    """Summed loss of consecutive chunks. Gradients flow from chunk to chunk and stop at the window's edges.

    The loop over chunks is inside the module, so that DDP and FSDP see one forward and one backward pass however many
    chunks it spans, and the memory is an argument and a result that they leave alone.
    """

    def __init__(self, model: AnyLanguageModel, *, precision: str) -> None:
        super().__init__()
        self.model = model
        self.precision = DTYPES[precision]

    def forward(self, window: Sequence[Chunk], memory: Memory) -> tuple[Float[Tensor, ""], Memory, dict[str, Tensor]]:
        """Loss in nats summed over targets, the memory cut off from its past, and the memory's own losses, summed."""
        nats: list[Tensor] = []
        aux: dict[str, Tensor] = {}
        for chunk in window:
            with torch.autocast(chunk.tokens.device.type, self.precision, enabled=self.precision != torch.float32):
                losses, memory, others = self.model.token_losses(
                    chunk.tokens, chunk.targets, memory, starts=chunk.starts, lengths=chunk.lengths
                )
            nats.append(losses.sum())
            aux = {name: aux[name] + loss if name in aux else loss for name, loss in others.items()}
        return torch.stack(nats).sum(), memory.detach(), aux


def count_targets(window: Sequence[Chunk]) -> int:
    """How many tokens of a window have a next token in their document."""
    return sum(int((chunk.targets != IGNORE).sum()) for chunk in window)
