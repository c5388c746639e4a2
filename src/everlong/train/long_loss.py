"""A loss that favours tokens which a long context helps to predict (LongCE: Fang et al., 2024).

    loss = sum_i w_i · full_i        w_i = min(exp(short_i - full_i), largest)

``full_i`` is the loss of a token with all the memory there is, ``short_i`` that of the same model after a short
context. Weights have no gradient. The sum is divided by the number of tokens, whatever the weights: their mean is
not 1.

The short context is the chunk, read with an empty memory. A token of its first half would have less than half a chunk
before it, and be favoured for what lies just behind the cut: it keeps the weight 1.
"""

from collections.abc import Mapping
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from everlong.data import Chunk
from everlong.memory import Memory
from everlong.models.base import AnyLanguageModel
from everlong.shapes import Losses
from everlong.train.stream_loss import StreamLoss


@final
class LongLoss(StreamLoss):
    """Loss of the next tokens. Its gradient is that of the weighted loss, its value the plain one: bits stay bits."""

    def __init__(self, model: AnyLanguageModel, *, precision: str, largest: float) -> None:
        super().__init__(model, precision=precision)
        self.largest = largest

    def read(self, chunk: Chunk, memory: Memory | None) -> tuple[Float[Tensor, ""], Memory, Mapping[str, Tensor]]:
        """One chunk: its summed loss, the next memory and the memory's own losses; no weights where it is measured."""
        if not self.model.training:
            return super().read(chunk, memory)
        short = self._short(chunk)
        with self.autocast():
            full, after, others = self.model.token_losses(
                chunk.tokens, chunk.targets, memory, starts=chunk.starts, lengths=chunk.lengths
            )
        weighted = (long_weights(full, short, largest=self.largest) * full).sum()
        return full.detach().sum() + (weighted - weighted.detach()), after, others

    @torch.no_grad()
    def _short(self, chunk: Chunk) -> Losses:
        """Losses after an empty memory, under the dropout masks that the next reading has."""
        device = self.model.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []), self.autocast():
            losses, _, _ = self.model.token_losses(
                chunk.tokens, chunk.targets, starts=chunk.starts, lengths=chunk.lengths
            )
        return losses


def long_weights(full: Losses, short: Losses, *, largest: float) -> Losses:
    """The weight of every token of a chunk; no gradient flows into it."""
    weights = (short - full.detach()).exp().clamp(max=largest)
    weights[:, : weights.shape[1] // 2] = 1.0
    return weights
