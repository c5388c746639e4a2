"""Episodes without end, as a training run reads them."""

from collections.abc import Iterator, Mapping
from typing import final

from everlong.data.chunk import Chunk
from everlong.data.lanes import check_sizes
from everlong.data.synthetic.rules import TRAINED, Rules, collate, generator
from everlong.errors import DataError


@final
class EpisodeReader:
    """Chunks of an episode a lane. Episode `n` follows from the seed and `n`, whatever was read before, on every rank.

    Raises:
        ConfigError: a size is less than 1, ``world`` does not divide ``lanes``, or there is no such rank.
    """

    def __init__(self, rules: Rules, *, seed: int, lanes: int, rank: int = 0, world: int = 1) -> None:
        check_sizes(lanes=lanes, world=world, rank=rank)
        self._rules, self._seed, self._lanes, self._batch = rules, seed, lanes, 0
        self._owned = range(rank * lanes // world, (rank + 1) * lanes // world)

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        first = self._batch * self._lanes
        self._batch += 1
        rngs = (generator(TRAINED, self._seed, first + lane) for lane in self._owned)
        return collate([self._rules.draw(rng, self._rules.draw_sizes(rng)) for rng in rngs])

    def cursor(self) -> dict[str, int | str]:
        """Which batch comes next, as JSON values."""
        return {"batch": self._batch}

    def seek(self, cursor: Mapping[str, object]) -> "EpisodeReader":
        """Go on where a cursor was taken.

        Raises:
            DataError: it is not a cursor.
        """
        batch = cursor.get("batch")
        if not isinstance(batch, int) or batch < 0:
            raise DataError(f"the cursor's batch {batch!r} is not a number of batches. Give one from cursor().")
        self._batch = batch
        return self
