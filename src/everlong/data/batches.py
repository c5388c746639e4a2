"""Examples of a task without end, as a training run reads them: epoch after epoch, those of like length together."""

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar, final

import numpy as np
from numpy.typing import NDArray

from everlong.data.examples import Example, ExampleStore
from everlong.data.lanes import check_sizes, require_settings
from everlong.data.mapped import RELEASE
from everlong.errors import ConfigError, DataError

POOL = 50
"""Batches whose examples are sorted by length together."""

ORDER, BATCHES = 0, 1
"""The first number of a key: what is drawn for an epoch."""

B = TypeVar("B")


@final
class ExampleReader(Generic[B]):
    """Batches of `lanes` examples, one a lane; of each batch a rank has the lanes it would have among all of them.

    The examples of an epoch come in an order that follows from the seed and the epoch alone. One epoch's are followed
    by the next one's, so that every batch is full: the batches of an epoch are those that begin in it. Within `POOL` of
    them examples are sorted by length, so that little of a batch is padding, and then the batches are shuffled.

    Args:
        store: the examples.
        collate: makes a batch of this rank's examples.
        lanes: examples in a batch, over all ranks together.
        seed: decides the order.
        rank: which process this is.
        world: how many there are.

    Raises:
        ConfigError: a size is less than 1, ``world`` does not divide ``lanes``, or there is no such rank.
    """

    def __init__(
        self,
        store: ExampleStore,
        collate: Callable[[list[Example]], B],
        *,
        lanes: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        check_sizes(lanes=lanes, world=world, rank=rank)
        self.store, self.lanes, self.seed = store, lanes, seed
        self._collate = collate
        self._owned = slice(rank * lanes // world, (rank + 1) * lanes // world)
        self._lengths = store.lengths
        self._batch = self._read = 0
        self._epoch, self._first = -1, 0
        self._order: NDArray[np.int64] = np.zeros((0, lanes), np.int64)

    def __iter__(self) -> Iterator[B]:
        return self

    def __next__(self) -> B:
        epoch = self._batch * self.lanes // len(self.store)
        if epoch != self._epoch:
            self._first, self._order = self._batches(epoch)
            self._epoch = epoch
        numbers = self._order[self._batch - self._first, self._owned]
        self._batch += 1
        self._read += int(self._lengths[numbers].sum())
        if self._read >= RELEASE:
            self.store.release()
            self._read = 0
        return self._collate([self.store[int(number)] for number in numbers])

    def cursor(self) -> dict[str, int | str]:
        """Which batch comes next, for every rank alike, as JSON values."""
        return {"batch": self._batch, **self._settings()}

    def seek(self, cursor: Mapping[str, object]) -> "ExampleReader[B]":
        """Go on where a cursor of the same examples, lanes and seed was taken; ``world`` may differ.

        Raises:
            DataError: the cursor was taken with other settings or from other examples, or is not a cursor.
        """
        require_settings(cursor, self._settings())
        batch = cursor.get("batch")
        if not isinstance(batch, int) or batch < 0:
            raise DataError(f"the cursor's batch is {batch!r}, which counts no batches. Give one from cursor().")
        self._batch = batch
        return self

    def _settings(self) -> dict[str, int | str]:
        return {"lanes": self.lanes, "seed": self.seed, "store": self.store.digest}

    def _batches(self, epoch: int) -> tuple[int, NDArray[np.int64]]:
        """The number of an epoch's first batch, and the examples ``[n lanes]`` of all of its batches."""
        size = len(self.store)
        first, last = (-(-turn * size // self.lanes) for turn in (epoch, epoch + 1))
        begin, end = first * self.lanes, last * self.lanes
        turns = [self._permutation(turn) for turn in range(epoch, -(-end // size))]
        numbers = np.concatenate(turns)[begin - epoch * size : end - epoch * size]
        pool = np.arange(len(numbers)) // (POOL * self.lanes)
        numbers = numbers[np.lexsort((self._lengths[numbers], pool))]
        batches = numbers.reshape(-1, self.lanes)
        return first, np.random.default_rng((BATCHES, self.seed, epoch)).permutation(batches)

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng((ORDER, self.seed, epoch)).permutation(len(self.store))


def example_batches(store: ExampleStore, *, lanes: int, limit: int | None = None) -> Iterator[list[Example]]:
    """Every example once, or `limit` of them spread evenly over all, those of like length together; longest first.

    Raises:
        ConfigError: ``lanes`` or ``limit`` is less than 1.
    """
    count = len(store) if limit is None else min(limit, len(store))
    for name, size in {"lanes": lanes, "limit": count}.items():
        if size < 1:
            raise ConfigError(f"{name}={size} is too small. Choose 1 or more.")
    numbers = np.arange(count) * len(store) // count
    order = numbers[np.argsort(-store.lengths[numbers], kind="stable")]
    return ([store[int(number)] for number in order[at : at + lanes]] for at in range(0, count, lanes))
