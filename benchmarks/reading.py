"""Reading a long text with carried memory: everybody a while in turns, then ours on to a million tokens."""

from statistics import median
from typing import Any

from .harness import Worker, take_turns
from .rosters import RECURRENT_ATTENTION, Group, all_started, entrants, gate, sized
from .settings import Settings

COLUMNS = ("contestant", "token", "ms/chunk", "tokens/s", "time / first", "now MB", "peak MB", "loaded MB")
CHUNKS_A_TURN = 8
LAST = 100
"""Chunks before a checkpoint whose median is the speed there."""


def read(settings: Settings) -> dict[str, Any]:
    """One lane; the figures of the shared part first, then those of the million."""
    groups = sized(entrants([RECURRENT_ATTENTION], only=settings.only, without=settings.without), lanes=1)
    proven = gate(groups, threads=settings.threads)
    with all_started(groups, threads=settings.threads) as started:
        rows = read_together(started[0], rounds=settings.rounds)
    ours = Group(case=groups[0].case, peers=tuple(peer for peer in groups[0].peers if peer.is_ours))
    with all_started([ours], threads=settings.threads) as started:
        for worker in started[0]:
            rows += read_alone(worker, tokens=settings.tokens, chunk=ours.case.chunk)
    return {"columns": COLUMNS, "rows": rows, "gate": proven, "chunk": ours.case.chunk}


def read_together(workers: list[Worker], *, rounds: int) -> list[dict[str, Any]]:
    """Turns of a few chunks each, from an empty memory on; the first round fills it and is not counted."""
    turns = take_turns(workers, "read", rounds=rounds, count=CHUNKS_A_TURN)
    chunk = RECURRENT_ATTENTION.case.chunk
    return [
        {
            "contestant": worker.peer.name,
            "token": chunk * CHUNKS_A_TURN * (rounds + 1),
            "ms/chunk": 1e3 * record.median,
            "tokens/s": chunk / record.median,
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


def read_alone(worker: Worker, *, tokens: int, chunk: int) -> list[dict[str, Any]]:
    """Figures at each power of ten from a thousand tokens on, and for the whole way."""
    rows, seconds = [], list[float]()
    for checkpoint in checkpoints(tokens):
        seconds += worker.ask("read", count=-(-checkpoint // chunk) - len(seconds))
        recent = median(seconds[-LAST:])
        rows.append(
            {
                "contestant": worker.peer.name,
                "token": checkpoint,
                "ms/chunk": 1e3 * recent,
                "tokens/s": chunk / recent,
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
