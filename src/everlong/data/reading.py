"""Evaluation chunks: every document from its beginning to its end, or in windows that stand for themselves."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from everlong.data.bytelevel import TokenArray
from everlong.data.chunk import Chunk
from everlong.data.mapped import RELEASE
from everlong.data.store import TokenStore
from everlong.errors import ConfigError
from everlong.shapes import IGNORE


@final
@dataclass(frozen=True)
class DocumentChunk:
    """A chunk, and what each lane of it is: which document, and how many of its tokens came before.

    An idle lane has length 0, document -1 and offset 0.
    """

    chunk: Chunk
    document: Int[Tensor, "b"]
    offset: Int[Tensor, "b"]


def document_chunks(store: TokenStore, *, lanes: int, chunk: int, limit: int | None = None) -> Iterator[DocumentChunk]:
    """Every document once, from its first token to its last, in chunks of ``[lanes, chunk]`` padded on the right.

    A document stays in its lane; when it ends, the lane's next chunk begins the longest one still waiting, so that
    lanes are busy to the end. The order is the same each time. ``limit`` is how many tokens to read altogether:
    documents in the order of the store, the last one cut short.

    Raises:
        ConfigError: ``lanes``, ``chunk`` or ``limit`` is less than 1.
    """
    begins, sizes = _documents(store, lanes=lanes, chunk=chunk, limit=limit)
    return _document_chunks(store, begins, sizes, lanes=lanes, chunk=chunk)


def document_windows(store: TokenStore, *, lanes: int, chunk: int, limit: int | None = None) -> Iterator[DocumentChunk]:
    """Every document once, in windows of `chunk` tokens, `lanes` of them side by side: for readers without memory.

    Windows come longest first, those of one document beside each other, and are padded to the longest beside them.
    ``limit`` is how many tokens to read altogether: documents in the order of the store, the last one cut short.

    Raises:
        ConfigError: ``lanes``, ``chunk`` or ``limit`` is less than 1.
    """
    begins, sizes = _documents(store, lanes=lanes, chunk=chunk, limit=limit)
    return _document_windows(store, begins, sizes, lanes=lanes, chunk=chunk)


def _documents(
    store: TokenStore, *, lanes: int, chunk: int, limit: int | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each document that is read begins, and how many of its tokens are."""
    limit = store.n_tokens if limit is None else limit
    for name, size in {"lanes": lanes, "chunk": chunk, "limit": limit}.items():
        if size < 1:
            raise ConfigError(f"{name}={size} is too small. Choose 1 or more.")
    n_documents = int(np.searchsorted(store.starts[:-1], limit))
    begins = store.starts[:n_documents]
    return begins, np.minimum(store.starts[1 : n_documents + 1], limit) - begins


def _document_chunks(
    store: TokenStore, begins: NDArray[np.int64], sizes: NDArray[np.int64], *, lanes: int, chunk: int
) -> Iterator[DocumentChunk]:
    waiting = iter(np.argsort(-sizes, kind="stable").tolist())
    document: NDArray[np.int64] = np.full(lanes, -1, np.int64)
    offset: NDArray[np.int64] = np.zeros(lanes, np.int64)
    unreleased = 0
    while True:
        for lane in np.flatnonzero((document < 0) | (offset >= sizes[document])):
            document[lane], offset[lane] = next(waiting, -1), 0
        left = np.where(document < 0, 0, sizes[document] - offset)
        if not left.any():
            return
        yield DocumentChunk(
            chunk=_chunk(store.tokens, begins[document] + offset, left=left, fresh=offset == 0, width=chunk),
            document=torch.from_numpy(document.copy()),
            offset=torch.from_numpy(offset.copy()),
        )
        offset += np.minimum(left, chunk)
        unreleased += lanes * chunk
        if unreleased >= RELEASE:
            store.release()
            unreleased = 0


def _document_windows(
    store: TokenStore, begins: NDArray[np.int64], sizes: NDArray[np.int64], *, lanes: int, chunk: int
) -> Iterator[DocumentChunk]:
    counts = -(-sizes // chunk)
    document = np.repeat(np.arange(len(sizes)), counts)
    offset = chunk * (np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts))
    lengths = np.minimum(sizes[document] - offset, chunk)
    order = np.argsort(-lengths, kind="stable")
    unreleased = 0
    for at in range(0, len(order), lanes):
        beside = order[at : at + lanes]
        first, width = begins[document[beside]] + offset[beside], int(lengths[beside[0]])
        yield DocumentChunk(
            chunk=_chunk(store.tokens, first, left=lengths[beside], fresh=offset[beside] == 0, width=width),
            document=torch.from_numpy(document[beside]),
            offset=torch.from_numpy(offset[beside]),
        )
        unreleased += lanes * chunk
        if unreleased >= RELEASE:
            store.release()
            unreleased = 0


def _chunk(
    tokens: TokenArray, begins: NDArray[np.int64], *, left: NDArray[np.int64], fresh: NDArray[np.bool_], width: int
) -> Chunk:
    """Lanes that read from ``begins`` on, in documents with ``left`` tokens to go; ``fresh`` ones are at the first."""
    lengths = np.minimum(left, width)
    padded = np.zeros((len(begins), width), np.int64)
    targets = np.full_like(padded, IGNORE)
    starts = np.zeros(padded.shape, np.bool_)
    starts[:, 0] = fresh & (lengths > 0)
    for lane in np.flatnonzero(lengths):
        ids = tokens[begins[lane] : begins[lane] + min(width + 1, left[lane])]
        padded[lane, : lengths[lane]] = ids[:width]
        targets[lane, : len(ids) - 1] = ids[1:]
    return Chunk(
        tokens=torch.from_numpy(padded),
        targets=torch.from_numpy(targets),
        starts=torch.from_numpy(starts),
        lengths=torch.from_numpy(lengths),
    )
