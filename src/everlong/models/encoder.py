"""What every bidirectional encoder is: text in, a vector for every token out, each seen from both sides.

    hidden = encoder(tokens, lengths=lengths)                              [b t d]
    hidden = encoder(tokens, lengths=lengths, global_mask=global_mask)     some tokens see, and are seen by, all

There is no stream and no memory. An architecture supplies `encode` and a head; checking arguments, padding, the mask
symbol and the losses of hidden tokens are the same for all and live here. The mask symbol is the id after the last of
the vocabulary, a row of the embedding that no tokenizer knows of.
"""

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

import torch
from jaxtyping import Bool
from torch import Tensor

from everlong.clock import Clock, tick
from everlong.errors import ShapeError
from everlong.models.base import Model, check_chunk, real_tokens
from everlong.shapes import Hidden, Lengths, Logits, Losses, Tokens

GlobalMask = Bool[Tensor, "b t"]
"""Tokens that see every token of their lane and are seen by every one."""


class Encoder(Model):
    """A bidirectional model: what stands on both sides of a token decides its hidden state."""

    has_global_tokens: ClassVar[bool] = False
    """Whether some tokens may be given a view of everything, by `global_mask`."""

    if TYPE_CHECKING:

        def __call__(
            self, tokens: Tokens, *, lengths: Lengths | None = None, global_mask: GlobalMask | None = None
        ) -> Hidden:
            """See `forward`."""
            ...

    @property
    def mask_token(self) -> int:
        """The symbol that stands for a hidden token: the id after the last one of the vocabulary."""
        return self.config.vocab_size

    @abstractmethod
    def encode(self, tokens: Tokens, clock: Clock, global_mask: GlobalMask | None) -> Hidden:
        """Hidden states of all tokens; those of padding are finite, and nobody asks what they are.

        Args:
            tokens: ``[b t]``, padding being 0.
            clock: where each token stands in its text, and which are padding.
            global_mask: some real tokens; ``None`` where there is none.
        """

    def forward(
        self, tokens: Tokens, *, lengths: Lengths | None = None, global_mask: GlobalMask | None = None
    ) -> Hidden:
        """Hidden states ``[b t d]``, 0 at padding.

        Args:
            tokens: ``[b t]`` int64, each row a text of its own; `mask_token` stands for a hidden one.
            lengths: ``[b]`` int64: how many tokens of this right-padded row are real; 0 is an empty one.
            global_mask: ``[b t]`` bool, for encoders with global tokens.

        Raises:
            ShapeError: an argument has the wrong shape or type, or the encoder has no global tokens.
        """
        check_chunk(tokens, starts=None, lengths=lengths)
        lanes, time = tokens.shape
        clock = tick(
            torch.zeros(lanes, dtype=torch.int64, device=tokens.device), time=time, starts=None, lengths=lengths
        )
        tokens = real_tokens(tokens, clock, vocab_size=self.config.vocab_size, symbols=1)
        hidden = self.encode(tokens, clock, self._real_global(global_mask, clock))
        return hidden if clock.valid is None else torch.where(clock.valid[..., None], hidden, 0.0)

    def logits(
        self, tokens: Tokens, *, lengths: Lengths | None = None, global_mask: GlobalMask | None = None
    ) -> Logits:
        """Logits ``[b t v]`` of the token that stands, or stood, at each place; losses alone are cheaper."""
        return self.head.logits(self(tokens, lengths=lengths, global_mask=global_mask))

    def token_losses(
        self,
        tokens: Tokens,
        targets: Tokens,
        *,
        lengths: Lengths | None = None,
        global_mask: GlobalMask | None = None,
    ) -> Losses:
        """Negative log-likelihood of each target in nats ``[b t]``; 0, and not computed, where it is `IGNORE`."""
        return self.head.losses(self(tokens, lengths=lengths, global_mask=global_mask), targets)

    def _real_global(self, global_mask: GlobalMask | None, clock: Clock) -> GlobalMask | None:
        if global_mask is None:
            return None
        if not self.has_global_tokens:
            raise ShapeError(f"{self.architecture} has no global tokens. Leave out global_mask.")
        check_global_mask(global_mask, like=clock.position)
        if clock.valid is not None:
            global_mask = global_mask & clock.valid
        return global_mask if bool(global_mask.any()) else None


def check_global_mask(global_mask: Tensor, *, like: Tensor) -> None:
    """Refuse a mask that does not fit the tokens.

    Raises:
        ShapeError: its shape or type is wrong.
    """
    if global_mask.shape != like.shape or global_mask.dtype != torch.bool:
        raise ShapeError(
            f"global_mask must be bool of shape {list(like.shape)} like tokens, "
            f"got {global_mask.dtype} of shape {list(global_mask.shape)}."
        )
