"""How fast this machine does what the ledger counts, for one model: seconds for a call, an operation and a byte.

    seconds = call * calls + operation * operations + byte * moved          no rate is negative

Small runs of the very model are timed in turn, again and again, and the three rates are those that fit the medians
best, each error relative to its time. Rates below zero would make small errors of measurement large at large sizes.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import final

import numpy as np

from everlong.plan.ledger import Counts

Clock = Callable[[], float]

FEWEST, MOST = 3, 15
"""Rounds that are timed."""


@final
@dataclass(frozen=True, kw_only=True)
class Rates:
    """Seconds for one of each."""

    call: float
    operation: float
    byte: float

    def seconds(self, counts: Counts) -> float:
        """How long something takes that counts so much."""
        return self.call * counts.calls + self.operation * counts.operations + self.byte * counts.moved


def timed(runs: Sequence[Callable[[], object]], *, patience: float, clock: Clock = time.perf_counter) -> list[float]:
    """Median seconds of each run, all taking turns until `patience` seconds are over."""
    began, found = clock(), [list[float]() for _ in runs]
    for turn in range(MOST):
        if turn >= FEWEST and clock() - began > patience:
            break
        for run, seconds in zip(runs, found, strict=True):
            start = clock()
            run()
            seconds.append(clock() - start)
    return [median(seconds) for seconds in found]


def fit(counts: Sequence[Counts], seconds: Sequence[float]) -> Rates:
    """The rates that fit best: least squares of relative errors over every choice of rates that are not 0."""
    table = np.array([[c.calls, c.operations, c.moved] for c in counts]) / np.array(seconds)[:, None]
    best, chosen = np.inf, np.zeros(3)
    for size in (1, 2, 3):
        for kept in map(list, combinations(range(3), size)):
            rates = np.zeros(3)
            rates[kept] = np.linalg.lstsq(table[:, kept], np.ones(len(table)), rcond=None)[0]
            error = float(((table @ rates - 1) ** 2).sum())
            if (rates >= 0).all() and error < best:
                best, chosen = error, rates
    call, operation, byte = map(float, chosen)
    return Rates(call=call, operation=operation, byte=byte)
