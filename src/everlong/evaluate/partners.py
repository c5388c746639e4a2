"""The control reading: another document of about the same length, read in step with each document.

A memory that helps only because it is warm (full slots, settled statistics of the language) would help just as much
if it came from another text. So each document is given a partner, and at every chunk boundary a document is also
predicted with the memory that its partner left at the same position.
"""

from typing import final

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from everlong.data import Chunk, DocumentChunk, TokenStore
from everlong.shapes import IGNORE


def partners(store: TokenStore) -> NDArray[np.int64]:
    """For each document another one, its neighbour in the order of length; two neighbours are each other's partner.

    With an odd number of documents the shortest is paired with the one before it, which has a partner already.
    """
    lengths = np.diff(store.starts)
    order = np.argsort(-lengths, kind="stable")
    index = np.arange(len(order))
    beside = np.minimum(index ^ 1, len(order) - 1)
    if len(order) % 2:
        beside[-1] = len(order) - 2
    partner = np.empty_like(order)
    partner[order] = order[beside]
    return partner


@final
class PartnerReader:
    """The chunk of each lane's partner that stands at the same offset.

    A partner that has ended leaves its lane idle, so its memory stays what it was at its end.
    """

    def __init__(self, store: TokenStore) -> None:
        self._store = store
        self._partners = partners(store)

    def chunk(self, piece: DocumentChunk) -> Chunk:
        """Tokens ``[b t]`` of the partners; there are no targets."""
        lanes, time = piece.chunk.tokens.shape
        tokens = torch.zeros(lanes, time, dtype=torch.int64)
        lengths = torch.zeros(lanes, dtype=torch.int64)
        for lane, (document, offset) in enumerate(_places(piece.document, piece.offset)):
            if document >= 0:
                ids = self._store.document(self._partners[document])[offset : offset + time].astype(np.int64)
                tokens[lane, : len(ids)] = torch.from_numpy(ids)
                lengths[lane] = len(ids)
        starts = torch.zeros(lanes, time, dtype=torch.bool)
        starts[:, 0] = (piece.offset == 0) & (lengths > 0)
        return Chunk(tokens=tokens, targets=torch.full_like(tokens, IGNORE), starts=starts, lengths=lengths)


def _places(document: Int[Tensor, "b"], offset: Int[Tensor, "b"]) -> list[tuple[int, int]]:
    return list(zip(document.tolist(), offset.tolist(), strict=True))
