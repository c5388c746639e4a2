"""The loop all contestants share, so that what differs between them is their model and nothing else."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .case import Case

Advance = Callable[[Tensor, Any], tuple[Tensor, Any]]
"""`(tokens [b t], memory or None) -> (logits [b t v], memory)`."""

Loss = Callable[[Tensor, Tensor, Any], tuple[Tensor, Any]]
"""`(tokens [b t], targets [b t], memory or None) -> (mean loss in nats, detached memory)`."""


@dataclass
class Contestant:
    """One model under measurement, with the memory and the last token of its stream."""

    module: nn.Module
    case: Case
    advance: Advance
    loss: Loss

    def __post_init__(self) -> None:
        self.memory: Any = None
        self.marks: dict[str, Any] = {}
        self.random = torch.Generator().manual_seed(0)
        self.token = torch.zeros(self.case.lanes, 1, dtype=torch.long)
        self.optimizer: torch.optim.Optimizer | None = None

    @property
    def n_parameters(self) -> int:
        """Numbers that training may change."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    def train_step(self) -> None:
        """Forward, backward and optimiser step on one chunk of every lane, memory carried."""
        if self.optimizer is None:
            self.module.train()
            self.optimizer = OPTIMIZERS[self.case.optimizer](self.module)
        tokens = self._random_tokens(self.case.chunk + 1)
        loss, self.memory = self.loss(tokens[:, :-1], tokens[:, 1:], self.memory)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def read_chunk(self) -> None:
        """Read one chunk of every lane without gradients, memory carried."""
        self.module.eval()
        with torch.inference_mode():
            logits, self.memory = self.advance(self._random_tokens(self.case.chunk), self.memory)
            self.token = logits[:, -1].argmax(-1, keepdim=True)

    def decode_token(self) -> None:
        """Read the token chosen last and choose the next one, greedily."""
        self.module.eval()
        with torch.inference_mode():
            logits, self.memory = self.advance(self.token, self.memory)
            self.token = logits[:, -1].argmax(-1, keepdim=True)

    def mark(self, name: str) -> None:
        """Remember this point of the stream, to come back to it with `recall`."""
        self.marks[name] = self.memory

    def recall(self, name: str) -> None:
        """Go back to a marked point of the stream."""
        self.memory = self.marks[name]

    def _random_tokens(self, time: int) -> Tensor:
        return torch.randint(self.case.vocab_size, (self.case.lanes, time), generator=self.random)


def adamw(module: nn.Module) -> torch.optim.Optimizer:
    """What one trains with; fused, because the plain loop over tensors would burden models of many small parameters."""
    return torch.optim.AdamW(module.parameters(), lr=3e-4, fused=True)


def sgd(module: nn.Module) -> torch.optim.Optimizer:
    """The cheapest optimiser, which older published figures were measured with."""
    return torch.optim.SGD(module.parameters(), lr=1e-3)


OPTIMIZERS = {"adamw": adamw, "sgd": sgd}
