"""What every bidirectional encoder is: text in, a vector for every token out, each seen from both sides.

    hidden = encoder(tokens, lengths=lengths)                              [b t d]
    hidden = encoder(tokens, lengths=lengths, global_mask=global_mask)     some tokens see, and are seen by, all
    hidden = encoder(tokens, lengths=lengths, sections=sections)           where sentences or paragraphs begin
    vector = encoder.pool(tokens, lengths=lengths)                         [b d], one for the whole text

There is no stream and no memory. An architecture supplies `encode` and a head; checking arguments, padding, the mask
symbol and the losses of hidden tokens are the same for all and live here. One that reads in sections supplies
`encode_sections` and `sum_up`; any other with a way of its own to sum up a text, `summary`. The mask symbol is the id
after the last of the vocabulary, a row of the embedding that no tokenizer knows of.
"""

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from everlong.clock import Clock, tick
from everlong.errors import ShapeError
from everlong.models.base import Model, check_chunk, real_tokens
from everlong.shapes import Hidden, Lengths, Logits, Losses, Tokens

GlobalMask = Bool[Tensor, "b t"]
"""Tokens that see every token of their lane and are seen by every one."""
Sections = Bool[Tensor, "b t"]
"""Tokens that begin a sentence, a paragraph or whatever a text is read in. A text's first one does so in any case."""


class Encoder(Model):
    """A bidirectional model: what stands on both sides of a token decides its hidden state."""

    has_global_tokens: ClassVar[bool] = False
    """Whether some tokens may be given a view of everything, by `global_mask`."""
    has_sections: ClassVar[bool] = False
    """Whether a text is read in parts, which `sections` may mark."""
    joins_sections: ClassVar[bool] = True
    """Whether a token may learn of tokens in other sections than its own."""

    if TYPE_CHECKING:

        def __call__(
            self,
            tokens: Tokens,
            *,
            lengths: Lengths | None = None,
            global_mask: GlobalMask | None = None,
            sections: Sections | None = None,
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

    def encode_sections(self, tokens: Tokens, clock: Clock, sections: Sections) -> Hidden:
        """As `encode`, for a text in the sections that these tokens begin.

        Raises:
            ShapeError: this encoder does not read in sections.
        """
        del tokens, clock, sections
        raise ShapeError(f"{self.architecture} does not read in sections. Leave out sections.")

    def summary(self, hidden: Hidden, clock: Clock, global_mask: GlobalMask | None) -> Float[Tensor, "b d"]:
        """One vector for each text, finite for an empty one: the mean of its global tokens, or of all if it has none.

        Args:
            hidden: what `encode` made of the text.
            clock: as for `encode`.
            global_mask: as for `encode`.
        """
        counted = torch.ones_like(clock.position, dtype=torch.bool) if clock.valid is None else clock.valid
        if global_mask is not None:
            counted = torch.where(global_mask.any(dim=1, keepdim=True), global_mask, counted)
        total = torch.where(counted[..., None], hidden, 0.0).sum(dim=1)
        return total / counted.sum(dim=1, keepdim=True).clamp(min=1)

    def sum_up(
        self, tokens: Tokens, clock: Clock, global_mask: GlobalMask | None, sections: Sections | None
    ) -> Float[Tensor, "b d"]:
        """One vector for each text, finite for an empty one: the summary of its hidden states.

        Args:
            tokens: as for `encode`.
            clock: as for `encode`.
            global_mask: as for `encode`.
            sections: tokens that begin a section; ``None`` where the encoder is to cut the text itself.
        """
        return self.summary(self._encoded(tokens, clock, global_mask, sections), clock, global_mask)

    def forward(
        self,
        tokens: Tokens,
        *,
        lengths: Lengths | None = None,
        global_mask: GlobalMask | None = None,
        sections: Sections | None = None,
    ) -> Hidden:
        """Hidden states ``[b t d]``, 0 at padding.

        Args:
            tokens: ``[b t]`` int64, each row a text of its own; `mask_token` stands for a hidden one.
            lengths: ``[b]`` int64: how many tokens of this right-padded row are real; 0 is an empty one.
            global_mask: ``[b t]`` bool, for encoders with global tokens.
            sections: ``[b t]`` bool, for encoders that read in sections; without it they cut a text evenly.

        Raises:
            ShapeError: an argument has the wrong shape or type, or the encoder has no global tokens or sections.
        """
        tokens, clock = self._real(tokens, lengths)
        marks = self._real_global(global_mask, clock), self._real_sections(sections, clock)
        hidden = self._encoded(tokens, clock, *marks)
        return hidden if clock.valid is None else torch.where(clock.valid[..., None], hidden, 0.0)

    def pool(
        self,
        tokens: Tokens,
        *,
        lengths: Lengths | None = None,
        global_mask: GlobalMask | None = None,
        sections: Sections | None = None,
    ) -> Float[Tensor, "b d"]:
        """One vector for each text, 0 for an empty one: what a class is told from.

        Args:
            tokens: as for a call.
            lengths: as for a call.
            global_mask: as for a call.
            sections: as for a call.

        Raises:
            ShapeError: as for a call.
        """
        tokens, clock = self._real(tokens, lengths)
        marks = self._real_global(global_mask, clock), self._real_sections(sections, clock)
        vectors = self.sum_up(tokens, clock, *marks)
        return vectors if clock.lengths is None else torch.where(clock.lengths[:, None] > 0, vectors, 0.0)

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

    def _encoded(
        self, tokens: Tokens, clock: Clock, global_mask: GlobalMask | None, sections: Sections | None
    ) -> Hidden:
        if sections is not None:
            return self.encode_sections(tokens, clock, sections)
        return self.encode(tokens, clock, global_mask)

    def _real(self, tokens: Tokens, lengths: Lengths | None) -> tuple[Tokens, Clock]:
        check_chunk(tokens, starts=None, lengths=lengths)
        lanes, time = tokens.shape
        begins = torch.zeros(lanes, dtype=torch.int64, device=tokens.device)
        clock = tick(begins, time=time, starts=None, lengths=lengths)
        return real_tokens(tokens, clock, vocab_size=self.config.vocab_size, symbols=1), clock

    def _real_global(self, global_mask: GlobalMask | None, clock: Clock) -> GlobalMask | None:
        if global_mask is None:
            return None
        if not self.has_global_tokens:
            raise ShapeError(f"{self.architecture} has no global tokens. Leave out global_mask.")
        check_marks(global_mask, name="global_mask", like=clock.position)
        if clock.valid is not None:
            global_mask = global_mask & clock.valid
        return global_mask if bool(global_mask.any()) else None

    def _real_sections(self, sections: Sections | None, clock: Clock) -> Sections | None:
        if sections is None or not self.has_sections:
            return sections
        return real_sections(sections, clock)


def real_sections(sections: Sections, clock: Clock) -> Sections:
    """The real tokens that begin a section, a text's first one among them.

    Raises:
        ShapeError: the mask does not fit the tokens.
    """
    check_marks(sections, name="sections", like=clock.position)
    begins = sections | (torch.arange(clock.time, device=sections.device) == 0)
    return begins if clock.valid is None else begins & clock.valid


def first_tokens(tokens: Tokens) -> GlobalMask:
    """The first token of each text: the global one where a text is summed up."""
    return (torch.arange(tokens.shape[1], device=tokens.device) == 0).expand_as(tokens)


def check_marks(marks: Tensor, *, name: str, like: Tensor) -> None:
    """Refuse a mask that does not fit the tokens.

    Raises:
        ShapeError: its shape or type is wrong.
    """
    if marks.shape != like.shape or marks.dtype != torch.bool:
        raise ShapeError(
            f"{name} must be bool of shape {list(like.shape)} like tokens, "
            f"got {marks.dtype} of shape {list(marks.shape)}."
        )
