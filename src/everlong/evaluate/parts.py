"""What is owed to the memory of earlier parts: turns of a conversation, its sessions, chapters of a book.

Documents lie in lanes side by side and are read a part at a time. Each part is predicted three times: with the memory
that the parts before it left, with an empty one, and with the one that the document in the next lane left after as many
parts (or at its end, where it has fewer).
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from everlong.data import Chunk, Tokenizer, TokenStore
from everlong.data.parts import Cut, TokenParts, token_parts
from everlong.errors import ConfigError, DataError
from everlong.evaluate.bits import READINGS, Bits, BitTable
from everlong.evaluate.evaluation import DocumentBits, ratio_error
from everlong.evaluate.mode import evaluating
from everlong.evaluate.reader import ignore
from everlong.memory import Memory
from everlong.models.base import AnyLanguageModel
from everlong.shapes import IGNORE

CHUNK = 256
"""Tokens of a part that one call reads."""

Watch = Callable[[Sequence[int], int, Memory], None]
"""Called before each part with the documents side by side, the part's index and what is remembered."""


@final
@dataclass(frozen=True, kw_only=True)
class PartBits:
    """Costs of the parts that are number ``first`` to ``last`` in their documents."""

    first: int
    last: int
    n_parts: int
    bits: Bits

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {"first": self.first, "last": self.last, "n_parts": self.n_parts, **cost(self.bits)}


@final
@dataclass(frozen=True, kw_only=True)
class PartEvaluation:
    """Bits of documents in parts, read with the memory of the parts before, with none, and with another document's.

    The same tokens are counted for all three readings; the first one of a part is given.
    """

    total: Bits
    by_part: tuple[PartBits, ...]
    by_document: tuple[DocumentBits, ...]
    memory_bytes: int
    """Bytes of the memory of one lane."""
    seconds: float

    @property
    def gain(self) -> float:
        """Bits per byte that the memory of earlier parts saves."""
        return (self.total.reset - self.total.carried) / self.total.n_bytes

    @property
    def gain_error(self) -> float | None:
        """Standard error of the gain over documents; ``None`` with fewer than two."""
        return ratio_error([(d.bits.reset - d.bits.carried, d.bits.n_bytes) for d in self.by_document])

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            **cost(self.total),
            "gain": self.gain,
            "gain_error": self.gain_error,
            "n_documents": len(self.by_document),
            "by_part": [part.to_dict() for part in self.by_part],
            "memory_bytes": self.memory_bytes,
            "seconds": self.seconds,
        }


def cost(bits: Bits) -> dict[str, Any]:
    """Counts, and bits per byte and perplexity of every reading."""
    return {**bits.to_dict(), "perplexity": {reading: bits.perplexity(reading) for reading in READINGS}}


def watch_nothing(documents: Sequence[int], index: int, memory: Memory) -> None:
    """Look away."""
    del documents, index, memory


def evaluate_parts(
    model: AnyLanguageModel,
    store: TokenStore,
    tokenizer: Tokenizer,
    cut: Cut,
    *,
    lanes: int,
    limit_tokens: int | None = None,
    watch: Watch = watch_nothing,
    report: Callable[[int], None] = ignore,
) -> PartEvaluation:
    """Bits of every document's parts, by their number in the document.

    ``limit_tokens`` reads that many tokens altogether: documents in the order of the store, the last one cut short.
    About `lanes` documents lie side by side, those with the most parts first; two or three at least, where there are
    so many, so that each has another one beside it. ``report`` is called with the number of tokens read so far.

    Raises:
        ConfigError: ``lanes`` or ``limit_tokens`` is less than 1.
        DataError: another tokenizer built the store, or there is nothing to predict.
    """
    store.require_tokenizer(tokenizer)
    for name, size in {"lanes": lanes, "limit": limit_tokens}.items():
        if size is not None and size < 1:
            raise ConfigError(f"{name}={size} is too small. Choose 1 or more.")
    began = time.perf_counter()
    documents = documents_in_parts(store, tokenizer, cut, limit=limit_tokens)
    parts, by_document, counts = BitTable(), BitTable(), np.zeros(64, np.int64)
    other, done = len(documents) > 1, 0
    with evaluating(model), torch.inference_mode():
        for group in _groups([len(document) for document in documents], lanes):
            beside = [documents[number] for number in group]
            for index, chunk, nats in _read(model, beside, with_other=other, watch=partial(watch, group)):
                counted = (chunk.targets != IGNORE).numpy()
                n_bytes = tokenizer.byte_lengths[chunk.targets.numpy()[counted]]
                sums = {reading: loss[counted] for reading, loss in nats.items()}
                parts.add(np.full(int(counted.sum()), index.bit_length()), n_bytes=n_bytes, nats=sums)
                owner = np.broadcast_to(np.array(group)[:, None], counted.shape)[counted]
                by_document.add(owner, n_bytes=n_bytes, nats=sums)
                report(done := done + int(chunk.lengths.sum()))
        memory_bytes = model.init_memory(1).nbytes
    if len(parts) == 0:
        raise DataError("there is nothing to predict in these texts: every part is a single token. Give longer text.")
    for document in documents:
        for index in range(len(document)):
            counts[index.bit_length()] += 1
    longest = max(map(len, documents))
    return PartEvaluation(
        total=parts.total(with_other=other),
        by_part=tuple(
            PartBits(first=first, last=min(last, longest), n_parts=int(counts[row]), bits=bits)
            for row in range(len(parts))
            if (bits := parts.row(row, with_other=other)).n_tokens
            for first, last in [edges(row)]
        ),
        by_document=tuple(
            DocumentBits(document=row, bits=bits)
            for row in range(len(by_document))
            if (bits := by_document.row(row, with_other=other)).n_tokens
        ),
        memory_bytes=memory_bytes,
        seconds=time.perf_counter() - began,
    )


def edges(row: int) -> tuple[int, int]:
    """The numbers, from 1, of the parts that share a row: 1, 2, 3 to 4, 5 to 8, and so on.

    >>> [edges(row) for row in range(4)]
    [(1, 1), (2, 2), (3, 4), (5, 8)]
    """
    return (1 << row - 1) + 1 if row else 1, 1 << row


def documents_in_parts(store: TokenStore, tokenizer: Tokenizer, cut: Cut, *, limit: int | None) -> list[TokenParts]:
    """The documents of the first `limit` tokens of a store, the last one cut short."""
    left = store.n_tokens if limit is None else limit
    found: list[TokenParts] = []
    for number in range(store.n_documents):
        if left <= 0:
            break
        ids = store.document(number)[:left]
        found.append(token_parts(ids, tokenizer, cut))
        left -= len(ids)
    return found


def _groups(sizes: Sequence[int], lanes: int) -> Iterator[list[int]]:
    """Numbers of documents side by side: about `lanes`, of like sizes, and one alone only where there is no other."""
    order = np.argsort(-np.array(sizes), kind="stable")
    n = len(order)
    for group in np.array_split(order, max(1, min(-(-n // lanes), n // 2))):
        yield group.tolist()


def _read(
    model: AnyLanguageModel,
    documents: Sequence[TokenParts],
    *,
    with_other: bool,
    watch: Callable[[int, Memory], None],
) -> Iterator[tuple[int, Chunk, dict[str, NDArray[np.float64]]]]:
    """Every chunk of every part, the part's index, and the losses ``[b t]`` of each reading in nats."""
    lanes = len(documents)
    carried: Memory = model.init_memory(lanes)
    following = torch.arange(lanes).roll(-1)
    for index in range(max(map(len, documents))):
        watch(index, carried)
        memories = {"carried": carried}
        if index:
            memories["reset"] = model.init_memory(lanes)
            if with_other:
                memories["other"] = carried.select(following)
        for chunk in _chunks(documents, index):
            batch = chunk.to(model.device)
            nats: dict[str, NDArray[np.float64]] = {}
            for reading, memory in memories.items():
                losses, memories[reading], _ = model.token_losses(
                    batch.tokens, batch.targets, memory, lengths=batch.lengths
                )
                nats[reading] = losses.double().cpu().numpy()
            # In the first part there is no memory yet, so the readings are the same.
            yield index, chunk, {reading: nats.get(reading, nats["carried"]) for reading in READINGS}
        carried = memories["carried"]


def _chunks(documents: Sequence[TokenParts], index: int) -> Iterator[Chunk]:
    """A part of each document, padded on the right, `CHUNK` tokens at a time."""
    places = [document.part(index) for document in documents]
    lengths = np.array([place.stop - place.start for place in places])
    tokens = np.zeros((len(places), lengths.max()), np.int64)
    targets = np.full_like(tokens, IGNORE)
    for lane, (document, place, length) in enumerate(zip(documents, places, lengths, strict=True)):
        tokens[lane, :length] = ids = document.tokens[place]
        targets[lane, : max(length - 1, 0)] = np.where(document.counted[place][1:], ids[1:], IGNORE)
    for at in range(0, tokens.shape[1], CHUNK):
        part = torch.from_numpy(tokens[:, at : at + CHUNK].copy())
        yield Chunk(
            tokens=part,
            targets=torch.from_numpy(targets[:, at : at + CHUNK].copy()),
            starts=torch.zeros_like(part, dtype=torch.bool),
            lengths=torch.from_numpy((lengths - at).clip(0, part.shape[1])),
        )
