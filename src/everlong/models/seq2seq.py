"""What every encoder-decoder is: a language model whose memory begins with a source.

    memory = model.read(source, lengths=lengths)
    memory = model.read(source, lengths=lengths, sections=sections)         where sentences or paragraphs begin
    logits, memory = model(tokens, memory)

A source has any length. What is kept of each of its tokens is computed once and stands in the memory, beside what the
decoder remembers of its own tokens, from then on unchanged. So everything that language models have serves as it is:
losses, samplers, batches, sessions, and memories that are saved, forked and moved.

    slots of the source     as many as `read` was given tokens, padding included; 0 in a memory that has read nothing
    starts                  the decoder begins a new document: its own state is reset, the source stays
    select, put, where      over memories with equally many source slots; `read` may be given padding to make them so
    nothing read            what a decoder finds in a source of no tokens is zero

An architecture supplies `init_memory`, `encode`, `keep`, and a language model's `advance` and head; one that reads its
source in sections, `encode_sections` too.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self, TypeVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from everlong.clock import Clock, tick
from everlong.errors import MemoryMismatch, ShapeError
from everlong.memory import Layout, Memory
from everlong.models.base import LanguageModel, check_chunk, real_tokens
from everlong.models.encoder import Sections, real_sections
from everlong.shapes import Hidden, Lengths, Tokens


class SourceMemory(Memory):
    """A memory that begins with a source."""

    source_length: Int[Tensor, "b"]
    """How many tokens the source of each lane has; the slots behind them are padding."""

    source_axes: ClassVar[Mapping[str, int]]
    """The leaves that hold something of every source token, and which of their axes counts the tokens."""

    @property
    def source_slots(self) -> int:
        """How many tokens of a source each lane has room for."""
        return self._slots_in(self.flatten())

    @classmethod
    def _slots_in(cls, leaves: Mapping[str, Tensor]) -> int:
        name, axis = next(iter(cls.source_axes.items()))
        return leaves[name].shape[axis]

    @classmethod
    def layout_of(cls, leaves: Mapping[str, Tensor]) -> Layout:
        """As of any memory, with a word for the number of source slots, which each call of `read` chooses."""
        layout = super().layout_of(leaves)
        if not cls.source_axes.keys() <= leaves.keys():
            return layout
        slots = cls._slots_in(leaves)
        for name, axis in cls.source_axes.items():
            shape, dtype = layout[name]
            if leaves[name].shape[axis] == slots:
                layout[name] = ((*shape[:axis], "source slots", *shape[axis + 1 :]), dtype)
        return layout

    def merge(self, other: Self, fn: Callable[[Tensor, Tensor], Tensor]) -> Self:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The memory whose leaves are `fn` of the leaves of both.

        Raises:
            MemoryMismatch: the two memories have other types, or their sources other numbers of slots.
        """
        if type(self) is type(other) and self.source_slots != other.source_slots:
            raise MemoryMismatch(
                f"a memory with {other.source_slots} source slots cannot be combined with one that has "
                f"{self.source_slots}. Read both sources padded to one width: model.read(source, lengths=...)."
            )
        return super().merge(other, fn)

    def select_beside(self, lanes: Int[Tensor, "b"]) -> Self:
        """As `select`, where each takes the place of a lane with the same source: sources are not copied."""
        stay = {"source_length", *self.source_axes}
        leaves = self.flatten()
        moved = {name: leaf if name in stay else leaf.index_select(0, lanes) for name, leaf in leaves.items()}
        return type(self)(**moved).made_by(self.maker)

    def source_padding(self) -> Bool[Tensor, "b s"] | None:
        """Which source slots are padding; ``None`` where there is none."""
        if int(self.source_length.min()) >= self.source_slots:
            return None
        return torch.arange(self.source_slots, device=self.position.device) >= self.source_length[:, None]


S = TypeVar("S", bound=SourceMemory)


class Seq2Seq(LanguageModel[S]):
    """An encoder whose states a causal decoder reads."""

    has_sections: ClassVar[bool] = False
    """Whether a source is read in parts, which `sections` may mark."""

    @abstractmethod
    def init_memory(self, lanes: int, *, source_slots: int = 0) -> S:
        """A memory of that many lanes that has read nothing, with room for a source of so many tokens."""

    @abstractmethod
    def encode(self, source: Tokens, clock: Clock) -> Hidden:
        """States of all source tokens; those of padding are finite, and nobody asks what they are."""

    def encode_sections(self, source: Tokens, clock: Clock, sections: Sections) -> Hidden:
        """As `encode`, for sources in the sections that these tokens begin.

        Raises:
            ShapeError: this model does not read in sections.
        """
        del source, clock, sections
        raise ShapeError(f"{self.architecture} does not read its source in sections. Leave out sections.")

    @abstractmethod
    def keep(self, hidden: Hidden) -> Mapping[str, Tensor]:
        """What the decoder will look at, once and for all: the leaves that ``source_axes`` of the memory names."""

    def read(self, source: Tokens, *, lengths: Lengths | None = None, sections: Sections | None = None) -> S:
        """The memory of decoders that have their sources before them and have written nothing.

        Args:
            source: ``[b s]`` int64, one source a lane. The memory has `s` source slots.
            lengths: ``[b]`` int64: how many tokens of each right-padded source are real; 0 is no source.
            sections: ``[b s]`` bool, for models that read in sections; without it they cut a source evenly.

        Raises:
            ShapeError: an argument has the wrong shape or type, a token is outside the vocabulary, or the model does
                not read in sections.
        """
        check_chunk(source, starts=None, lengths=lengths)
        lanes, slots = source.shape
        new = self.init_memory(lanes)
        clock = tick(new.position, time=slots, starts=None, lengths=lengths)
        real = real_tokens(source, clock, vocab_size=self.config.vocab_size)
        hidden = (
            self.encode(real, clock)
            if sections is None
            else self.encode_sections(real, clock, real_sections(sections, clock))
        )
        kept = {
            name: without_padding(leaf, None if clock.valid is None else ~clock.valid, axis=new.source_axes[name])
            for name, leaf in self.keep(hidden).items()
        }
        read = torch.full_like(new.source_length, slots) if clock.lengths is None else clock.lengths.clone()
        leaves = {name: leaf.to(self.dtype).contiguous() for name, leaf in kept.items()}
        return type(new)(**{**new.flatten(), **leaves, "source_length": read}).made_by(self)


AnySeq2Seq = Seq2Seq[Any]


def without_padding(leaf: Tensor, padding: Bool[Tensor, "b s"] | None, *, axis: int) -> Tensor:
    """A leaf with zeros in the source slots that are padding, whatever stood there."""
    if padding is None:
        return leaf
    shape = [leaf.shape[0], *[1] * (leaf.ndim - 1)]
    shape[axis] = leaf.shape[axis]
    return torch.where(padding.view(shape), 0, leaf)
