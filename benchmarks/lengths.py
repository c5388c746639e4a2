"""Cost against length: seconds of one pass at doubling lengths, and the power of the length that fits them best."""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import linear_regression
from typing import Any

from .case import Case
from .harness import Worker, take_turns
from .peers import (
    EVERLONG_LONGFORMER,
    EVERLONG_LONGFORMER_ENCODER,
    EVERLONG_REFORMER,
    EVERLONG_SPARSE_FIXED,
    EVERLONG_SPARSE_STRIDED,
    HF_LONGFORMER,
    HF_REFORMER,
    LUCI_LOCAL,
    PLAIN_DNC,
    Peer,
)
from .rosters import BUCKETS, DENSE, MACHINES, PATTERNS, WINDOW, WINDOW_ENCODER, Group, entrants, gate, sized, without
from .settings import Settings

LONGEST = {"forward": 65_536, "backward": 16_384}
"""What is timed, and up to where; `backward` is forward and backward."""

SHORTEST = 1024
MACHINES_FROM, MACHINES_TO = 64, 4096
PATIENCE = 12.0
"""Seconds of a pass after which a contestant is spared the next length."""

MACHINE_COLUMNS = ("contestant", "pass", "exponent", *(str(2**n) for n in range(6, 10)), "1k", "2k", "4k", "peak MB")
COLUMNS = ("contestant", "size", "pass", "exponent", *(f"{2**n}k" for n in range(7)), "peak MB")


def length(settings: Settings) -> dict[str, Any]:
    """One contestant after the other, each against itself: milliseconds at every length."""
    groups = entrants(roster(), settings)
    proven = gate(sized(groups, lanes=1, chunk=16 if settings.rehearse else SHORTEST), threads=settings.threads)
    spans = {do: (16, 64) if settings.rehearse else (SHORTEST, last) for do, last in LONGEST.items()}
    rows = [sweep(peer, group, do, settings, spans[do]) for group in groups for peer in group.peers for do in spans]
    return {"columns": COLUMNS, "rows": rows, "gate": proven}


def length_machines(settings: Settings) -> dict[str, Any]:
    """Forward and backward of controllers beside a matrix, which keep all their steps."""
    groups = entrants([without([MACHINES], PLAIN_DNC)[0]], settings)
    proven = gate(sized(groups, lanes=1), threads=settings.threads)
    first, last = (16, 64) if settings.rehearse else (MACHINES_FROM, MACHINES_TO)
    spans = {"backward": (first, last)}
    rows = [sweep(peer, group, do, settings, spans[do]) for group in groups for peer in group.peers for do in spans]
    return {"columns": MACHINE_COLUMNS, "rows": rows, "gate": proven}


def roster() -> list[Group]:
    """Windows (one a quarter as wide), patterns, buckets, and dense attention to compare with."""
    wide = replace(WINDOW, peers=(EVERLONG_LONGFORMER, LUCI_LOCAL), label="window 256")
    narrow = replace(WINDOW, peers=(EVERLONG_LONGFORMER,), case=replace(WINDOW.case, window=64), label="window 64")
    encoders = replace(WINDOW_ENCODER, peers=(EVERLONG_LONGFORMER_ENCODER, HF_LONGFORMER), label="window 256")
    patterns = replace(PATTERNS, peers=(EVERLONG_SPARSE_STRIDED, EVERLONG_SPARSE_FIXED), label="stride √n")
    buckets = replace(BUCKETS, peers=(EVERLONG_REFORMER, HF_REFORMER), label="4 hashes")
    return [wide, narrow, encoders, patterns, buckets, DENSE]


def at_length(case: Case, time: int) -> Case:
    """One lane of so many tokens. A stride grows with the root of them, and buckets in number, not in size."""
    case = replace(case, lanes=1, chunk=time)
    if case.stride:
        stride = 8 * max(1, round(math.sqrt(time) / 8))
        return replace(case, stride=stride, context=-(-time // stride) * stride)
    if case.n_buckets:
        return replace(case, n_buckets=max(2, 2 * time // case.bucket_size), context=time)
    return case


def sweep(peer: Peer, group: Group, do: str, settings: Settings, span: tuple[int, int]) -> dict[str, Any]:
    """The row of one contestant: from the shortest length on, for as long as it is bearable."""
    time, last = span
    lengths, seconds, peaks = list[int](), list[float](), list[float]()
    while time <= last and (not seconds or seconds[-1] <= PATIENCE):
        worker = Worker(peer, at_length(group.case, time), threads=settings.threads)
        try:
            (record,) = take_turns([worker], do, rounds=settings.rounds)
        finally:
            worker.close()
        lengths.append(time)
        seconds.append(record.median)
        peaks.append(worker.peak_mb)
        time *= 2
    return {
        "contestant": peer.name,
        "size": group.label,
        "pass": do,
        "exponent": exponent(lengths, seconds),
        **{in_words(time): 1e3 * spent for time, spent in zip(lengths, seconds, strict=True)},
        "peak MB": peaks[-1],
        "peaks MB": peaks,
        "lengths": lengths,
        "ms": [1e3 * spent for spent in seconds],
        "versions": worker.hello["versions"],
        "note": peer.note,
    }


def in_words(time: int) -> str:
    """A length as a column calls it."""
    return f"{time // 1024}k" if time >= 1024 else str(time)


def exponent(lengths: Sequence[int], seconds: Sequence[float]) -> float:
    """The `p` for which `length ** p` fits the seconds best, in logarithms."""
    return linear_regression([math.log(n) for n in lengths], [math.log(s) for s in seconds]).slope
