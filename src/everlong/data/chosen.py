"""Training chunks whose text is chosen: documents in an order, and generated passages between them.

A lane reads one document after another, each from its first token to its last, as its order says. A passage may come
where a document ends, and after every `STRETCH` chunks of a long one, which then goes on behind the passage where it
stopped; memory begins anew at both ends of a passage.

Which it is follows from a count and not from chance: a lane owes the tokens that it has read times the share of
passages, and reads passages where it may until it owes none. So their part of all tokens is the share, to within a
passage and a stretch of each lane, and follows a share that changes. Lanes begin at different points of a stretch, and
so take turns.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from everlong.data.chunk import Chunk
from everlong.data.lanes import check_sizes, require_settings
from everlong.data.mapped import RELEASE
from everlong.data.orders import PASSAGES, Order
from everlong.data.passages import Passages
from everlong.data.store import TokenStore
from everlong.errors import DataError
from everlong.shapes import IGNORE

STRETCH = 64


@dataclass
class Place:
    """Where a lane stands."""

    turn: int = 0
    """Documents before the present one."""
    offset: int = 0
    """Tokens read of the present one."""
    stretch: int = 0
    """Tokens read of the present stretch."""
    passages: int = 0
    """Passages so far."""
    within: int = -1
    """Tokens read of the present passage; -1 between passages."""
    begins: bool = True
    """Whether memory begins anew at the next token."""
    owed: float = 0.0
    """Tokens of passages that should have been read by now, and were not; below 0 where more were."""


@final
class ChosenReader:
    """Chunks of ``[lanes / world, chunk]`` tokens without end; rank ``r`` has the rows it would have among all of them.

    Every rank follows all lanes, so that a cursor of any rank is one of all.

    Args:
        store: the corpus.
        order: which documents each lane reads.
        passages: what draws generated passages; ``None`` for none.
        share: the passages' share of tokens now, asked for each chunk.
        lanes: streams read side by side, over all ranks together.
        chunk: tokens of each in a chunk.
        seed: decides the passages.
        rank: which process this is.
        world: how many there are.

    Raises:
        ConfigError: a size is less than 1, ``world`` does not divide ``lanes``, or there is no such rank.
    """

    def __init__(
        self,
        store: TokenStore,
        order: Order,
        *,
        passages: Passages | None,
        share: Callable[[], float],
        lanes: int,
        chunk: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        check_sizes(lanes=lanes, world=world, rank=rank, chunk=chunk)
        self._store, self._order, self._passages, self._share = store, order, passages, share
        self._chunk, self._seed, self._stretch = chunk, seed, STRETCH * chunk
        self._settings = {"lanes": lanes, "chunk": chunk, "seed": seed, "store": store.digest, **order.settings}
        self._owned = slice(rank * lanes // world, (rank + 1) * lanes // world)
        self._places = [Place(stretch=self._stretch * lane // lanes) for lane in range(lanes)]
        self._open: dict[int, NDArray[np.int64]] = {}
        """The passages that lanes are in."""
        self._read = 0

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        share = self._share() if self._passages else 0.0
        rows = [self._row(lane, place, share) for lane, place in enumerate(self._places)][self._owned]
        self._read += self._chunk * len(rows)
        if self._read >= RELEASE:
            self._store.release()
            self._read = 0
        tokens, targets, starts = (torch.from_numpy(np.stack(part)) for part in zip(*rows, strict=True))
        return Chunk(tokens=tokens, targets=targets, starts=starts, lengths=torch.full((len(rows),), self._chunk))

    def cursor(self) -> dict[str, int | str]:
        """Where every lane goes on, for every rank alike, as JSON values."""
        return {"places": json.dumps([astuple(place) for place in self._places]), **self._settings}

    def seek(self, cursor: Mapping[str, object]) -> "ChosenReader":
        """Go on where a cursor of the same corpus, order, lanes and chunk was taken; ``world`` may differ.

        Raises:
            DataError: the cursor was taken with other settings or from another corpus, or is not a cursor.
        """
        require_settings(cursor, self._settings)
        try:
            places = [Place(*values) for values in json.loads(str(cursor.get("places")))]
            opened = {
                lane: self._passage(lane, place.passages - 1) for lane, place in enumerate(places) if place.within >= 0
            }
            fits = len(places) == len(self._places) and all(
                0 <= place.offset <= self._size(lane, place) for lane, place in enumerate(places)
            )
        except (TypeError, ValueError):
            fits, places, opened = False, [], {}
        if not fits:
            raise DataError(
                f"the cursor's places {cursor.get('places')!r} are not those of {len(self._places)} lanes of the "
                "corpus. Give one from cursor()."
            )
        self._places, self._open = places, opened
        return self

    def _row(
        self, lane: int, place: Place, share: float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Tokens, targets and starts of a lane's next chunk."""
        tokens, targets = np.empty((2, self._chunk), np.int64)
        starts = np.zeros(self._chunk, np.bool_)
        place.owed += share * self._chunk
        filled = 0
        while filled < self._chunk:
            text, at, most = self._next(lane, place)
            count = min(self._chunk - filled, most)
            here = slice(filled, filled + count)
            following = text[at + 1 : at + 1 + count]
            tokens[here], targets[here] = text[at : at + count], IGNORE
            targets[filled : filled + len(following)] = following
            starts[filled] = place.begins
            place.begins = False
            if place.within >= 0:
                place.within += count
            else:
                place.offset += count
                place.stretch += count
            filled += count
        return tokens, targets, starts

    def _next(self, lane: int, place: Place) -> tuple[NDArray[np.integer[Any]], int, int]:
        """What a lane reads next, from which token of it on, and how many of them at most."""
        self._turn(lane, place)
        if place.within >= 0:
            text = self._open[lane]
            return text, place.within, len(text) - place.within
        begin, end = self._order.bounds(lane, place.turn)
        return (
            self._store.tokens[begin:end],
            place.offset,
            min(end - begin - place.offset, self._stretch - place.stretch),
        )

    def _turn(self, lane: int, place: Place) -> None:
        """Go on to the next document, stretch or passage, where the present one has ended."""
        if place.within >= 0:
            if place.within < len(self._open[lane]):
                return
            place.within, place.begins = -1, True
            del self._open[lane]
        elif place.offset == self._size(lane, place):
            place.turn, place.offset, place.stretch, place.begins = place.turn + 1, 0, 0, True
        elif place.stretch == self._stretch:
            place.stretch = 0
        else:
            return
        if place.owed > 0 and self._passages:
            place.within, place.begins = 0, True
            self._open[lane] = self._passage(lane, place.passages)
            place.passages += 1
            place.owed -= len(self._open[lane])

    def _size(self, lane: int, place: Place) -> int:
        begin, end = self._order.bounds(lane, place.turn)
        return end - begin

    def _passage(self, lane: int, number: int) -> NDArray[np.int64]:
        assert self._passages is not None
        return self._passages.draw(np.random.default_rng((PASSAGES, self._seed, lane, number))).tokens
