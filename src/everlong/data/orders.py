"""Which documents a lane reads, one after another: those of its part of the corpus, or documents drawn by weight."""

from typing import Protocol, final

import numpy as np
from numpy.typing import NDArray

from everlong.data.lanes import part_of
from everlong.data.store import TokenStore
from everlong.errors import DataError

DOCUMENTS, PASSAGES = 2, 3
"""The first number of a key: what is drawn."""


class Order(Protocol):
    """The documents of every lane, without end."""

    @property
    def settings(self) -> dict[str, int | str]:
        """What decides the order besides the store, as JSON values."""
        ...

    def bounds(self, lane: int, turn: int) -> tuple[int, int]:
        """Where a lane's document of this number, counted from 0, begins in the store, and where it ends."""
        ...


@final
class Parts:
    """The corpus cut into equal parts, one a lane, each read from front to back again and again, as `LaneReader` does.

    A document that a part begins or ends inside of is cut there.

    Raises:
        DataError: the corpus has fewer than ``lanes * (chunk + 1)`` tokens.
    """

    def __init__(self, store: TokenStore, *, lanes: int, chunk: int) -> None:
        self._part, self._starts = part_of(store, lanes=lanes, chunk=chunk), store.starts
        self.settings: dict[str, int | str] = {"order": "parts"}

    def bounds(self, lane: int, turn: int) -> tuple[int, int]:
        """Where a lane's document of this number begins in the store, and where it ends."""
        begin, end = lane * self._part, (lane + 1) * self._part
        low, high = np.searchsorted(self._starts, [begin + 1, end]).tolist()
        which = turn % (high - low + 1)
        cut = low + which
        return (int(self._starts[cut - 1]) if which else begin), (int(self._starts[cut]) if cut < high else end)


@final
class Drawn:
    """Documents drawn in proportion to a weight, with replacement; a draw follows from seed, lane and turn."""

    def __init__(self, store: TokenStore, weights: NDArray[np.float64], *, seed: int) -> None:
        self._starts, self._seed = store.starts, seed
        self._sums = np.cumsum(weights)
        self.settings: dict[str, int | str] = {"order": "drawn"}

    def bounds(self, lane: int, turn: int) -> tuple[int, int]:
        """Where a lane's document of this number begins in the store, and where it ends."""
        chance = np.random.default_rng((DOCUMENTS, self._seed, lane, turn)).random()
        index = int(np.searchsorted(self._sums[:-1], chance * self._sums[-1], side="right"))
        return int(self._starts[index]), int(self._starts[index + 1])


def require_documents(store: TokenStore, *, lanes: int) -> None:
    """Make sure that lanes, which draw the same document now and then, do not read the same ones all the time.

    Raises:
        DataError: there are fewer documents than lanes.
    """
    if store.n_documents < lanes:
        raise DataError(
            f"the corpus has too few documents to draw from: {store.n_documents} for lanes={lanes}. "
            "Give more documents or use fewer lanes, or leave favour at 0."
        )
