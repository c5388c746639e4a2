"""The loss of tokens that are asked for here and there, in sequences that have nothing to do with one another."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from everlong.data import Chunk
from everlong.memory import Memory
from everlong.models.base import AnyLanguageModel
from everlong.train.objective import Objective


class AskedLoss(Objective[Chunk]):
    """Loss of the tokens that are asked for; every sequence begins with an empty memory."""

    model: AnyLanguageModel

    def forward(
        self, window: Sequence[Chunk], memory: Memory | None
    ) -> tuple[Float[Tensor, ""], Memory | None, dict[str, Tensor]]:
        """Loss in nats summed over answers, and the memory's own losses, summed."""
        nats: list[Tensor] = []
        aux: dict[str, Tensor] = {}
        for chunk in window:
            with self.autocast():
                losses, _, others = self.model.token_losses(chunk.tokens, chunk.targets)
            nats.append(losses.sum())
            aux = {name: aux[name] + loss if name in aux else loss for name, loss in others.items()}
        return torch.stack(nats).sum(), memory, aux
