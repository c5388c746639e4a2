"""Training chunks: the corpus as contiguous lanes, for ever.

The token stream is cut into equal parts, one a lane (the last ``n_tokens % lanes`` tokens have no part), and each lane
reads its part from front to back, again and again, so memory carried from chunk to chunk is memory of the same text.
"""

from collections.abc import Iterator, Mapping
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from everlong.data.chunk import Chunk
from everlong.data.mapped import RELEASE
from everlong.data.store import TokenStore
from everlong.errors import ConfigError, DataError
from everlong.shapes import IGNORE


@final
class LaneReader:
    """Chunks of ``[lanes / world, chunk]`` tokens without end; rank ``r`` has the rows it would have among all of them.

    A lane starts anew at each document, and at the beginning of its part, which is also where it goes on after the end.
    Every chunk is full: one that reaches the end of the part continues at its beginning.

    Raises:
        ConfigError: a size is less than 1, ``world`` does not divide ``lanes``, or there is no such rank.
        DataError: the corpus has fewer than ``lanes * (chunk + 1)`` tokens.
    """

    def __init__(self, store: TokenStore, *, lanes: int, chunk: int, rank: int = 0, world: int = 1) -> None:
        check_sizes(lanes=lanes, world=world, rank=rank, chunk=chunk)
        self.part = part_of(store, lanes=lanes, chunk=chunk)
        self.store, self.lanes, self.chunk = store, lanes, chunk
        self.epoch = self.offset = 0
        self.owned = range(rank * lanes // world, (rank + 1) * lanes // world)
        """The lanes of this rank, by their number among all."""
        self._begins: NDArray[np.int64] = np.array(self.owned, np.int64) * self.part
        self._read = 0

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        window, starts = self._window(self.offset)
        self._advance()
        return Chunk(
            tokens=torch.from_numpy(window[:, :-1].copy()),
            targets=torch.from_numpy(np.where(starts[:, 1:], IGNORE, window[:, 1:])),
            starts=torch.from_numpy(starts[:, :-1].copy()),
            lengths=torch.full((len(window),), self.chunk),
        )

    def cursor(self) -> dict[str, int | str]:
        """Where the next chunk begins, for every rank alike, as JSON values."""
        return {"epoch": self.epoch, "offset": self.offset, **self._settings()}

    def seek(self, cursor: Mapping[str, object]) -> "LaneReader":
        """Go on where a cursor of the same corpus, lanes and chunk was taken; ``world`` may differ.

        Raises:
            DataError: the cursor was taken with other settings or from another corpus, or is not a cursor.
        """
        require_settings(cursor, self._settings())
        epoch, offset = cursor.get("epoch"), cursor.get("offset")
        if not (isinstance(epoch, int) and isinstance(offset, int) and epoch >= 0 and 0 <= offset < self.part):
            raise DataError(
                f"the cursor's epoch {epoch!r} and offset {offset!r} are not in the corpus. Give one from cursor()."
            )
        self.epoch, self.offset = epoch, offset
        return self

    def _settings(self) -> dict[str, int | str]:
        return {"lanes": self.lanes, "chunk": self.chunk, "store": self.store.digest}

    def _advance(self) -> None:
        rounds, self.offset = divmod(self.offset + self.chunk, self.part)
        self.epoch += rounds
        self._read += self.chunk * len(self.owned)
        if self._read >= RELEASE:
            self.store.release()
            self._read = 0

    def _window(self, begin: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Tokens and starts of the next ``chunk + 1`` places, around the end of the part if need be."""
        end = begin + self.chunk + 1
        stretches = [(begin, end)] if end <= self.part else [(begin, self.part), (0, end - self.part)]
        tokens = [self._parts()[:, first:last] for first, last in stretches]
        starts = [self._starts(first, last) for first, last in stretches]
        return np.concatenate(tokens, axis=1, dtype=np.int64), np.concatenate(starts, axis=1)

    def _parts(self) -> NDArray[np.unsignedinteger[Any]]:
        """The parts of this rank's lanes, one a row: a view."""
        first, last = self.owned[0] * self.part, (self.owned[-1] + 1) * self.part
        return self.store.tokens[first:last].reshape(len(self.owned), self.part)

    def _starts(self, begin: int, end: int) -> NDArray[np.bool_]:
        """Where documents, and parts, begin between two places of the part."""
        marks = np.zeros((len(self.owned), end - begin), np.bool_)
        marks[:, 0] = begin == 0
        first, last = np.searchsorted(self.store.starts, [self._begins + begin, self._begins + end])
        counts = last - first
        rows = np.repeat(np.arange(len(counts)), counts)
        # The k-th start of a row is starts[first + k]; k counts on from where the rows above ended.
        found = self.store.starts[np.arange(counts.sum()) + np.repeat(last - counts.cumsum(), counts)]
        marks[rows, found - self._begins[rows] - begin] = True
        return marks


def check_sizes(*, lanes: int, world: int, rank: int, **others: int) -> None:
    """Make sure that lanes can be shared among ranks.

    Raises:
        ConfigError: a size is less than 1, ``world`` does not divide ``lanes``, or there is no such rank.
    """
    for name, size in {"lanes": lanes, **others, "world": world}.items():
        if size < 1:
            raise ConfigError(f"{name}={size} is too small. Choose 1 or more.")
    if lanes % world:
        below = lanes // world * world
        near = f"{below} or {below + world}" if below else str(world)
        raise ConfigError(f"lanes={lanes} cannot be shared evenly by world={world} ranks. Choose lanes={near}.")
    if not 0 <= rank < world:
        raise ConfigError(f"there is no rank={rank} among world={world}. Choose 0 to {world - 1}.")


def require_settings(cursor: Mapping[str, object], settings: Mapping[str, int | str]) -> None:
    """Make sure that a cursor was taken by a reader of the same data and settings.

    Raises:
        DataError: it was not.
    """
    for name, value in settings.items():
        if cursor.get(name) != value:
            raise DataError(
                f"the cursor was taken with {name}={cursor.get(name)}, this reader has {name}={value}. "
                "Go on with the same data and settings, or start a new run."
            )


def part_of(store: TokenStore, *, lanes: int, chunk: int) -> int:
    """Tokens of a lane's part of the corpus.

    Raises:
        DataError: a part does not hold a chunk and the token after it.
    """
    part = store.n_tokens // lanes
    if part <= chunk:
        raise DataError(
            f"the corpus has {store.n_tokens:,} tokens, too few for lanes={lanes} of chunk={chunk}: "
            f"{lanes * (chunk + 1):,} are needed. Use fewer lanes, a shorter chunk or more text."
        )
    return part
