"""Reading a long text with carried memory: everybody a while in turns, then ours on to a million tokens."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from .harness import Worker, take_turns
from .peers import HF_REFORMER, LUCI_LOCAL
from .rosters import RECURRENT_ATTENTION, STREAMING, Group, all_started, entrants, gate, ours, sized, without
from .settings import Settings

COLUMNS = ("contestant", "token", "ms/chunk", "tokens/s", "time / first", "now MB", "peak MB", "loaded MB")
CHUNK = 256
CHUNKS_A_TURN = 8
LAST = 100
"""Chunks before a checkpoint whose median is the speed there."""


def read(settings: Settings) -> dict[str, Any]:
    """One lane; the figures of the shared part first, then those of the million."""
    return measure([RECURRENT_ATTENTION], settings)


def read_memory(settings: Settings) -> dict[str, Any]:
    """The same for the other memories, without the two peers whose cache takes single tokens only."""
    return measure(without(STREAMING, HF_REFORMER, LUCI_LOCAL), settings)


def measure(groups: Sequence[Group], settings: Settings) -> dict[str, Any]:
    """Gate, everybody together, ours alone."""
    groups = sized(entrants(groups, settings), lanes=1, chunk=CHUNK)
    proven = gate(groups, threads=settings.threads)
    rows = list[dict[str, Any]]()
    for group in groups:
        with all_started([group], threads=settings.threads) as (workers,):
            rows += read_together(workers, rounds=settings.rounds)
    for group in ours(groups):
        with all_started([group], threads=settings.threads) as (workers,):
            for worker in workers:
                rows += read_alone(worker, tokens=settings.tokens)
    return {"columns": COLUMNS, "rows": rows, "gate": proven, "chunk": CHUNK}


def read_together(workers: list[Worker], *, rounds: int) -> list[dict[str, Any]]:
    """Turns of a few chunks each, from an empty memory on; the first round fills it and is not counted."""
    turns = take_turns(workers, "read", rounds=rounds, count=CHUNKS_A_TURN)
    return [
        {
            "contestant": worker.peer.name,
            "token": CHUNK * CHUNKS_A_TURN * (rounds + 1),
            "ms/chunk": 1e3 * record.median,
            "tokens/s": CHUNK / record.median,
            "time / first": turns[0].times_faster_than(record),
            "now MB": worker.now_mb,
            "peak MB": worker.peak_mb,
            "loaded MB": worker.hello["loaded_mb"],
            "versions": worker.hello["versions"],
            "turns": record.to_json(),
            "note": worker.peer.note,
        }
        for worker, record in zip(workers, turns, strict=True)
    ]


def read_alone(worker: Worker, *, tokens: int) -> list[dict[str, Any]]:
    """Figures at each power of ten from a thousand tokens on, and for the whole way."""
    rows, seconds = [], list[float]()
    for checkpoint in checkpoints(tokens):
        seconds += worker.ask("read", count=-(-checkpoint // CHUNK) - len(seconds))
        recent = median(seconds[-LAST:])
        rows.append(
            {
                "contestant": worker.peer.name,
                "token": checkpoint,
                "ms/chunk": 1e3 * recent,
                "tokens/s": CHUNK / recent,
                "now MB": worker.now_mb,
                "peak MB": worker.peak_mb,
                "loaded MB": worker.hello["loaded_mb"],
                "seconds in all": sum(seconds),
            }
        )
    return rows


def checkpoints(tokens: int) -> list[int]:
    """Powers of ten from a thousand up to `tokens`, and `tokens` itself."""
    powers = [10**exponent for exponent in range(3, 12) if 10**exponent < tokens]
    return [*powers, tokens]
