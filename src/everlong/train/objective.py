"""The loss of some consecutive chunks as one module: what DDP and FSDP wrap, and what is differentiated."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from everlong.data.chunk import Batch
from everlong.memory import Memory
from everlong.models.base import Model

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

B = TypeVar("B", bound=Batch)


class Objective(nn.Module, ABC, Generic[B]):
    """A model and its loss on a window of chunks, or of whatever batches its task has.

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
        self, window: Sequence[B], memory: Memory | None
    ) -> tuple[Float[Tensor, ""], Memory | None, dict[str, Tensor]]:
        """Loss in nats summed over targets, what is carried to the next window, and the memory's own losses, summed."""

    def autocast(self) -> Any:
        """A block in which large products are of the chosen precision."""
        return torch.autocast(self.model.device.type, self.precision, enabled=self.precision != torch.float32)
