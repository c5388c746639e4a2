"""What an evaluation found, as data."""

import math
from dataclasses import dataclass
from typing import Any, final

from everlong.evaluate.bits import Bits


@final
@dataclass(frozen=True, kw_only=True)
class PositionBits:
    """Costs of the tokens that have ``first`` to ``last`` tokens of their document before them."""

    first: int
    last: int
    bits: Bits


@final
@dataclass(frozen=True, kw_only=True)
class DocumentBits:
    """Costs of one document, by its index in the store."""

    document: int
    bits: Bits


@final
@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Bits per byte of a text, read with its own memory, with none, and with the memory of another document.

    Every figure is a sum of bits over a sum of bytes, over the same tokens for all three readings. The first token of
    a document is given, not predicted, and is counted nowhere.
    """

    total: Bits
    by_position: tuple[PositionBits, ...]
    by_document: tuple[DocumentBits, ...]
    lanes: int
    chunk: int
    memory_bytes: int
    """Bytes of the memory of one lane."""
    seconds: float

    @property
    def bits_per_byte(self) -> float:
        """With memory carried through each document."""
        return self.total.carried / self.total.n_bytes

    @property
    def bits_per_byte_reset(self) -> float:
        """With an empty memory at the beginning of every chunk."""
        return self.total.reset / self.total.n_bytes

    @property
    def bits_per_byte_other(self) -> float | None:
        """With the memory that another document left at the same position; ``None`` when there is only one document."""
        return self.total.per_byte("other")

    @property
    def gain(self) -> float:
        """Bits per byte that carrying the memory saves over resetting it."""
        return self.bits_per_byte_reset - self.bits_per_byte

    @property
    def gain_error(self) -> float | None:
        """Standard error of the gain over documents (of a ratio of sums); ``None`` with fewer than two documents."""
        return ratio_error([(d.bits.reset - d.bits.carried, d.bits.n_bytes) for d in self.by_document])

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            "bits_per_byte": self.bits_per_byte,
            "bits_per_byte_reset": self.bits_per_byte_reset,
            "bits_per_byte_other": self.bits_per_byte_other,
            "gain": self.gain,
            "gain_error": self.gain_error,
            "bits_per_token": self.total.carried / self.total.n_tokens,
            "n_tokens": self.total.n_tokens,
            "n_bytes": self.total.n_bytes,
            "n_documents": len(self.by_document),
            "by_position": [{"first": p.first, "last": p.last, **p.bits.to_dict()} for p in self.by_position],
            "by_document": [{"document": d.document, **d.bits.to_dict()} for d in self.by_document],
            "lanes": self.lanes,
            "chunk": self.chunk,
            "memory_bytes": self.memory_bytes,
            "seconds": self.seconds,
        }


def ratio_error(pairs: list[tuple[float, int]]) -> float | None:
    """Standard error of ``sum(a) / sum(b)`` over pairs drawn together (Cochran, Sampling Techniques, eq. 2.46)."""
    n, whole = len(pairs), sum(b for _, b in pairs)
    if n < 2:
        return None
    ratio = sum(a for a, _ in pairs) / whole
    return math.sqrt(sum((a - ratio * b) ** 2 for a, b in pairs) * n / (n - 1)) / whole
