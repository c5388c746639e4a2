# ruff: noqa: ARG002 - a mutant overrides a method and ignores what it is given
"""Encoder-decoders that break exactly one thing, named by their mistake."""

from dataclasses import replace

import torch

from everlong.models.encoder_decoder import EncoderDecoder
from everlong.models.source_decoder import SourceDecoderMemory


def changed(memory, **leaves):
    return type(memory)(**{**memory.flatten(), **leaves}).made_by(memory.maker)


class FoursOnly(EncoderDecoder):
    def encode(self, source, clock):
        if source.shape[1] % 4:
            raise ValueError("sources must be a multiple of 4")
        return super().encode(source, clock)


class StandsAtItsEnd(EncoderDecoder):
    """Goes on counting from the source."""

    def read(self, source, *, lengths=None):
        memory = super().read(source, lengths=lengths)
        return changed(memory, position=memory.source_length.clone())


class Overflows(EncoderDecoder):
    def encode(self, source, clock):
        return super().encode(source, clock) * (torch.inf if source.shape[1] > 10 else 1.0)


class WritesIntoTheSource(EncoderDecoder):
    def read(self, source, *, lengths=None):
        memory = super().read(source, lengths=lengths)
        source.zero_()
        return memory


class ReadsByChance(EncoderDecoder):
    def encode(self, source, clock):
        return super().encode(source, clock) + 1e-6 * torch.rand(())


class DropsTheSource(EncoderDecoder):
    """A new document is taken to have no source."""

    def advance(self, tokens, memory, clock):
        step = super().advance(tokens, memory, clock)
        began = (clock.position == 0).any(dim=1)
        return replace(step, memory=changed(step.memory, source=step.memory.source * ~began[:, None, None, None]))


class NoMask(SourceDecoderMemory):
    """Says that nothing is padding."""

    def source_padding(self):
        return None


class SeesPadding(EncoderDecoder):
    """The decoder attends to padding, which holds zeros."""

    def advance(self, tokens, memory, clock):
        return super().advance(tokens, NoMask(**memory.flatten()), clock)


class CountsFromTheEnd(EncoderDecoder):
    """Positions that depend on how wide the call is."""

    def encode(self, source, clock):
        hidden = super().encode(source, clock)
        return hidden * (1 + torch.arange(source.shape[1]).flip(0) / 100)[:, None]


class TrustsPadding(EncoderDecoder):
    """Padding has no weight, but what it holds is summed all the same."""

    def advance(self, tokens, memory, clock):
        if memory.source_padding() is None:
            return super().advance(tokens, memory, clock)
        step = super().advance(tokens, memory, clock)
        return replace(step, hidden=step.hidden + 0.0 * memory.source.sum(dim=(1, 2, 3))[:, None, None])


class CentredOnTheBatch(EncoderDecoder):
    def encode(self, source, clock):
        hidden = super().encode(source, clock)
        return hidden - hidden.mean(dim=0)


class ReadsTheBeginning(EncoderDecoder):
    """Long sources are cut off, without a word."""

    def encode(self, source, clock):
        return super().encode(source.where(torch.arange(source.shape[1]) < 6, 0), clock)


class BagOfSourceTokens(EncoderDecoder):
    """Not told where source tokens stand."""

    def embed_source(self, source):
        return self.embedding(source)


class LooksLater(EncoderDecoder):
    """The first prediction does not know the source."""

    def advance(self, tokens, memory, clock):
        step, blind = (
            super(LooksLater, self).advance(tokens, known, clock)
            for known in (memory, changed(memory, source=memory.source[:, :, :0]))
        )
        return replace(step, hidden=torch.where((clock.position == 0)[..., None], blind.hidden, step.hidden))


class BeginsWithASecret(EncoderDecoder):
    """Room for a source is taken for a source."""

    def advance(self, tokens, memory, clock):
        step = super().advance(tokens, memory, clock)
        return replace(step, hidden=step.hidden + (memory.source_slots > 0))


class HasNoRoom(EncoderDecoder):
    def init_memory(self, lanes, *, source_slots=0):
        return super().init_memory(lanes)
