"""What a model reads in one call."""

from dataclasses import dataclass
from typing import Protocol, Self, final

import torch

from everlong.shapes import IGNORE, Asked, Lengths, Starts, Tokens, Vectors


class Batch(Protocol):
    """What training asks of whatever a model reads in one call."""

    @property
    def n_targets(self) -> int:
        """How much is asked for: what losses are averaged over."""
        ...

    @property
    def n_tokens(self) -> int:
        """How much is read, padding left out."""
        ...

    def to(self, device: torch.device | str) -> Self:
        """The same on another device."""
        ...


@final
@dataclass(frozen=True, kw_only=True)
class Chunk:
    """The next tokens of every lane, in the words of the contract.

    ``targets`` is the token after each one, or ``IGNORE`` where that is not in the same document. ``starts`` marks the
    first token of a document. Tokens from ``lengths`` on are padding. Where tokens are hidden (everlong.data.masking),
    those are the targets of their places, and all others are ``IGNORE``.

    A generated task (everlong.data.synthetic) may have vectors in place of tokens, and for each of them bits or choices
    as targets; targets are ``IGNORE`` where nothing is asked for.
    """

    tokens: Tokens | Vectors
    targets: Tokens | Asked
    starts: Starts
    lengths: Lengths

    @property
    def n_targets(self) -> int:
        """How many targets there are: tokens, or bits or choices of generated sequences."""
        return int((self.targets != IGNORE).sum())

    @property
    def n_tokens(self) -> int:
        """How many tokens, or vectors, are no padding."""
        return int(self.lengths.sum())

    def to(self, device: torch.device | str) -> "Chunk":
        """The chunk on another device."""
        return Chunk(
            tokens=self.tokens.to(device),
            targets=self.targets.to(device),
            starts=self.starts.to(device),
            lengths=self.lengths.to(device),
        )
