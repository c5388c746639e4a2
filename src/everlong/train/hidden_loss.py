"""The loss of hidden tokens, as one forward pass."""

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from everlong.data import Chunk
from everlong.evaluate.hidden import Guesses, guesses
from everlong.memory import Memory
from everlong.models import Encoder
from everlong.train.objective import Objective


@final
class HiddenLoss(Objective[Chunk]):
    """Loss of the hidden tokens of every chunk by itself; nothing is carried from one to the next."""

    entrances = ("guesses",)

    model: Encoder

    def forward(
        self, window: Sequence[Chunk], memory: Memory | None
    ) -> tuple[Float[Tensor, ""], Memory | None, dict[str, Tensor]]:
        """Loss in nats summed over hidden tokens."""
        nats: list[Tensor] = []
        for chunk in window:
            with self.autocast():
                losses = self.model.token_losses(chunk.tokens, chunk.targets, lengths=chunk.lengths)
            nats.append(losses.sum())
        return torch.stack(nats).sum(), memory, {}

    def guesses(self, chunk: Chunk) -> Guesses:
        """What the encoder makes of a chunk, in the precision of training."""
        with self.autocast():
            return guesses(self.model, chunk)
