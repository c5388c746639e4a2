"""Three readings of the same documents, side by side."""

import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from everlong.data import Chunk, DocumentChunk, Tokenizer, TokenStore, document_chunks
from everlong.errors import DataError
from everlong.evaluate.bits import BitTable
from everlong.evaluate.evaluation import DocumentBits, Evaluation, PositionBits
from everlong.evaluate.mode import evaluating
from everlong.evaluate.partners import PartnerReader
from everlong.memory import Memory
from everlong.models.base import AnyLanguageModel
from everlong.shapes import IGNORE, Losses

FIRST_EDGE = 16
"""Positions below this one share a bucket; above it, each bucket is twice as long as the one before."""


def ignore(tokens: int) -> None:
    """Report to nobody."""
    del tokens


def watch_nothing(piece: DocumentChunk, losses: Mapping[str, Losses]) -> None:
    """Keep nothing of a chunk."""
    del piece, losses


def evaluate(
    model: AnyLanguageModel,
    store: TokenStore,
    tokenizer: Tokenizer,
    *,
    lanes: int,
    chunk: int,
    limit_tokens: int | None = None,
    report: Callable[[int], None] = ignore,
    watch: Callable[[DocumentChunk, Mapping[str, Losses]], None] = watch_nothing,
) -> Evaluation:
    """Bits per byte with memory carried, reset every chunk, and taken from another document; by position and document.

    All three readings predict the same tokens from the same chunks and differ only in the memory at the chunk's
    beginning: what this document left there; nothing; what its partner, another document of about the same length, left
    at the same position. ``limit_tokens`` reads that many tokens altogether: documents in the order of the store, the
    last one cut short. ``report`` is called with the number of tokens read so far, ``watch`` with each chunk and its
    losses ``[b t]`` in nats under each reading that was taken.

    Raises:
        ConfigError: ``lanes``, ``chunk`` or ``limit_tokens`` is less than 1.
        DataError: another tokenizer built the store, or no document has two tokens.
    """
    store.require_tokenizer(tokenizer)
    began = time.perf_counter()
    positions, documents = BitTable(), BitTable()
    other = store.n_documents > 1
    done = 0
    with evaluating(model), torch.inference_mode():
        for piece, losses in _read(model, store, lanes=lanes, chunk=chunk, limit=limit_tokens, with_other=other):
            watch(piece, losses)
            counted = (piece.chunk.targets != IGNORE).numpy()
            n_bytes = tokenizer.byte_lengths[piece.chunk.targets.numpy()[counted]]
            nats = {reading: loss.double().cpu().numpy()[counted] for reading, loss in losses.items()}
            before = (piece.offset[:, None] + torch.arange(1, counted.shape[1] + 1)).numpy()[counted]
            positions.add(bucket_of(before), n_bytes=n_bytes, nats=nats)
            owner = piece.document[:, None].expand_as(piece.chunk.targets).numpy()[counted]
            documents.add(owner, n_bytes=n_bytes, nats=nats)
            done += int(piece.chunk.lengths.sum())
            report(done)
        memory_bytes = model.init_memory(1).nbytes
    if len(documents) == 0:
        raise DataError("there is nothing to predict: every document is a single token. Give longer text.")
    return Evaluation(
        total=documents.total(with_other=other),
        by_position=tuple(
            PositionBits(first=first, last=last, bits=bits)
            for index in range(len(positions))
            if (bits := positions.row(index, with_other=other)).n_tokens
            for first, last in [bucket_edges(index)]
        ),
        by_document=tuple(
            DocumentBits(document=index, bits=bits)
            for index in range(len(documents))
            if (bits := documents.row(index, with_other=other)).n_tokens
        ),
        lanes=lanes,
        chunk=chunk,
        memory_bytes=memory_bytes,
        seconds=time.perf_counter() - began,
    )


def bucket_of(before: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bucket of tokens that have so many of their document before them: 1 to 15, 16 to 31, 32 to 63, and so on."""
    _, exponent = np.frexp(before / FIRST_EDGE)
    return np.maximum(exponent, 0).astype(np.int64)


def bucket_edges(index: int) -> tuple[int, int]:
    """The first and the last position of a bucket."""
    return (1 if index == 0 else FIRST_EDGE << (index - 1)), (FIRST_EDGE << index) - 1


def _read(
    model: AnyLanguageModel, store: TokenStore, *, lanes: int, chunk: int, limit: int | None, with_other: bool
) -> Iterator[tuple[DocumentChunk, dict[str, Losses]]]:
    """Every chunk of every document, with the losses ``[b t]`` of each reading in nats."""
    own, others = model.init_memory(lanes), model.init_memory(lanes)
    partner = PartnerReader(store) if with_other else None
    for piece in document_chunks(store, lanes=lanes, chunk=chunk, limit=limit):
        batch = piece.chunk.to(model.device)
        carried, own = _losses(model, batch, own)
        losses = {"carried": carried, "reset": carried, "other": carried}
        # At a document's beginning there is no memory yet, so the readings are the same.
        if bool((piece.offset > 0).any()):
            losses["reset"] = _losses(model, batch, None)[0]
            if partner is not None:
                losses["other"] = _losses(model, batch, others)[0]
        if partner is not None:
            others = _losses(model, partner.chunk(piece).to(model.device), others)[1]
        yield piece, losses


def _losses(model: AnyLanguageModel, chunk: Chunk, memory: Memory | None) -> tuple[Losses, Memory]:
    losses, after, _ = model.token_losses(
        chunk.tokens, chunk.targets, memory, starts=chunk.starts, lengths=chunk.lengths
    )
    return losses, after
