"""What predicting some text costs, as sums that add up exactly: bits and bytes, never means of means."""

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

READINGS = ("carried", "reset", "other")
"""The memory of the document itself; an empty one in every chunk; the one that another document left."""


@final
@dataclass(frozen=True, kw_only=True)
class Bits:
    """Bits that the same tokens cost under each reading. ``other`` is ``None`` where there is no other document."""

    n_tokens: int
    n_bytes: int
    carried: float
    reset: float
    other: float | None

    def per_byte(self, reading: str) -> float | None:
        """Bits per UTF-8 byte of a reading; ``None`` where it was not taken or there is nothing to count."""
        bits: float | None = getattr(self, reading)
        return None if bits is None or self.n_bytes == 0 else bits / self.n_bytes

    def perplexity(self, reading: str) -> float | None:
        """Two to the bits per token of a reading; ``None`` where it was not taken or there is nothing to count."""
        bits: float | None = getattr(self, reading)
        return None if bits is None or self.n_tokens == 0 else 2 ** (bits / self.n_tokens)

    def to_dict(self) -> dict[str, Any]:
        """Counts, and bits per byte of every reading."""
        return {
            "n_tokens": self.n_tokens,
            "n_bytes": self.n_bytes,
            **{reading: self.per_byte(reading) for reading in READINGS},
        }


class BitTable:
    """Sums of tokens, bytes and bits in numbered rows that grow as needed.

    >>> table = BitTable()
    >>> table.add(np.array([1, 1]), n_bytes=np.array([1, 2]), nats={"carried": np.array([0.0, math.log(2)])})
    >>> table.row(1, with_other=False).carried
    1.0
    """

    def __init__(self) -> None:
        self._sums: NDArray[np.float64] = np.zeros((0, 2 + len(READINGS)))

    def __len__(self) -> int:
        return len(self._sums)

    def add(self, rows: NDArray[np.int64], *, n_bytes: NDArray[np.int64], nats: dict[str, NDArray[np.float64]]) -> None:
        """Add one token per entry to its row: the bytes it stands for, and its loss under each reading in nats."""
        if len(rows) == 0:
            return
        size = max(len(self), int(rows.max()) + 1)
        grown = np.zeros((size, self._sums.shape[1]))
        grown[: len(self)] = self._sums
        columns = [np.ones(len(rows)), n_bytes.astype(np.float64)]
        columns += [nats[reading] / math.log(2) if reading in nats else np.zeros(len(rows)) for reading in READINGS]
        for index, column in enumerate(columns):
            grown[:, index] += np.bincount(rows, weights=column, minlength=size)
        self._sums = grown

    def row(self, index: int, *, with_other: bool) -> Bits:
        """One row's sums."""
        return _bits(self._sums[index], with_other=with_other)

    def total(self, *, with_other: bool) -> Bits:
        """The sums of all rows."""
        return _bits(self._sums.sum(axis=0), with_other=with_other)


def _bits(sums: NDArray[np.float64], *, with_other: bool) -> Bits:
    tokens, n_bytes, carried, reset, other = sums.tolist()
    return Bits(
        n_tokens=int(tokens), n_bytes=int(n_bytes), carried=carried, reset=reset, other=other if with_other else None
    )
