"""The loop all contestants share, so that what differs between them is their model and nothing else."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .case import Case

Advance = Callable[[Tensor, Any], tuple[Tensor, Any]]
"""`(tokens [b t], memory or None) -> (logits [b t v], memory)`."""

Loss = Callable[[Tensor, Tensor, Any], tuple[Tensor, Tensor | float, Any]]
"""`(tokens [b t], targets [b t], memory or None) -> (mean loss in nats, the memory's own loss, detached memory)`."""

IGNORE = -100
"""A target that is not asked for."""

HIDDEN = 0.15
"""The share of tokens that an encoder has to restore."""


@dataclass
class Contestant:
    """One model under measurement, with the memory and the last token of its stream."""

    module: nn.Module
    case: Case
    advance: Advance
    loss: Loss
    proof: torch.dtype = torch.float32
    """What the gate computes in: float64 where rounding decides what is seen, as it does when hashes are compared."""

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
        loss, others, self.memory = self.loss(*self.example(), self.memory)
        (loss + others).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def backward_chunk(self) -> None:
        """Forward and backward on one chunk of every lane, from an empty memory; nothing is learned or kept."""
        self.module.train()
        loss, others, _ = self.loss(*self.example(), None)
        (loss + others).backward()
        self.module.zero_grad(set_to_none=True)

    def forward_chunk(self) -> None:
        """Read one chunk of every lane without gradients, from an empty memory; nothing is kept."""
        self.module.eval()
        with torch.inference_mode():
            self.advance(self.random_tokens(self.case.chunk), None)

    def read_chunk(self) -> None:
        """Read one chunk of every lane without gradients, memory carried."""
        self.module.eval()
        with torch.inference_mode():
            logits, self.memory = self.advance(self.random_tokens(self.case.chunk), self.memory)
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

    def example(self) -> tuple[Tensor, Tensor]:
        """One chunk of every lane and what is asked for at each token: the next one."""
        tokens = self.random_tokens(self.case.chunk + 1)
        return tokens[:, :-1], tokens[:, 1:]

    def random_tokens(self, time: int) -> Tensor:
        """`[b t]`, all symbols alike."""
        return torch.randint(self.case.vocab_size, (self.case.lanes, time), generator=self.random)


@dataclass
class Encoder(Contestant):
    """A bidirectional model. It carries nothing; it restores hidden tokens, whose symbol is the one after the last."""

    padded: Callable[[Tensor, Tensor], Tensor] | None = None
    """`(tokens [b t], lengths [b]) -> logits [b t v]`; the gate asks ours for it."""

    def example(self) -> tuple[Tensor, Tensor]:
        """One chunk of every lane with some tokens hidden, and these as targets."""
        tokens = self.random_tokens(self.case.chunk)
        hidden = torch.rand(tokens.shape, generator=self.random) < HIDDEN
        return tokens.masked_fill(hidden, self.case.vocab_size), tokens.masked_fill(~hidden, IGNORE)


def next_token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean negative log-likelihood in nats."""
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def hidden_token_loss(head: nn.Module, hidden: Tensor, targets: Tensor) -> Tensor:
    """The same over the tokens asked for; nobody is made to compute logits that no loss needs."""
    asked = targets != IGNORE
    return F.cross_entropy(head(hidden[asked]), targets[asked])


def adamw(module: nn.Module) -> torch.optim.Optimizer:
    """What one trains with; fused, because the plain loop over tensors would burden models of many small parameters."""
    return torch.optim.AdamW(module.parameters(), lr=3e-4, fused=True)


def sgd(module: nn.Module) -> torch.optim.Optimizer:
    """The cheapest optimiser, which older published figures were measured with."""
    return torch.optim.SGD(module.parameters(), lr=1e-3)


OPTIMIZERS = {"adamw": adamw, "sgd": sgd}
