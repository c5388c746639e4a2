"""The loss of some consecutive chunks as one module: what DDP and FSDP wrap, and what is differentiated."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from everlong.data import Chunk
from everlong.memory import Memory
from everlong.models.base import Model
from everlong.shapes import IGNORE

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Objective(nn.Module, ABC):
    """A model and its loss on a window of chunks.

    The loop over chunks is inside the module, so that DDP and FSDP see one forward and one backward pass however many
    chunks it spans, and the memory is an argument and a result that they leave alone.
    """

    entrances: ClassVar[tuple[str, ...]] = ()
    """Methods besides `forward` that read with the whole model."""

    def __init__(self, model: Model, *, precision: str) -> None:
        super().__init__()
        self.model = model
        self.precision = DTYPES[precision]

    @abstractmethod
    def forward(
        self, window: Sequence[Chunk], memory: Memory | None
    ) -> tuple[Float[Tensor, ""], Memory | None, dict[str, Tensor]]:
        """Loss in nats summed over targets, what is carried to the next window, and the memory's own losses, summed."""

    def autocast(self, chunk: Chunk) -> Any:
        """A block in which large products of a chunk are of the chosen precision."""
        return torch.autocast(chunk.tokens.device.type, self.precision, enabled=self.precision != torch.float32)


def count_targets(window: Sequence[Chunk]) -> int:
    """How many targets a window has: tokens, or bits or choices of generated sequences."""
    return sum(int((chunk.targets != IGNORE).sum()) for chunk in window)


def count_tokens(window: Sequence[Chunk]) -> int:
    """How many tokens, or vectors, of a window are no padding."""
    return sum(int(chunk.lengths.sum()) for chunk in window)
