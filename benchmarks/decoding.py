"""Generation: one token of every lane at a time, with a full memory."""

from collections.abc import Sequence
from typing import Any

from .harness import Worker, take_turns
from .rosters import GRU, LSTM, RECURRENT_ATTENTION, Group, all_started, entrants, gate, sized
from .settings import Settings
from .turns import Turns

COLUMNS = ("contestant", "lanes", "ms/token", "best", "tokens/s", "time / first", "peak MB", "loaded MB")
PROMPT = 1024
BURST = 32
"""Tokens of one turn: enough to warm the caches that the others emptied, few enough for many turns."""


def decode(settings: Settings) -> dict[str, Any]:
    """Everybody at one lane, then everybody at sixteen."""
    groups = entrants([RECURRENT_ATTENTION, LSTM, GRU], only=settings.only, without=settings.without)
    proven = gate(groups, threads=settings.threads)
    rows = [row for lanes in (1, 16) for row in measure(sized(groups, lanes=lanes, chunk=256, segment=1), settings)]
    return {"columns": COLUMNS, "rows": rows, "gate": proven, "prompt": PROMPT, "burst": BURST}


def measure(groups: Sequence[Group], settings: Settings) -> list[dict[str, Any]]:
    """Prompt, turns of a burst each, figures."""
    with all_started(groups, threads=settings.threads) as started:
        workers = [worker for group in started for worker in group]
        for worker in workers:
            worker.ask("read", count=PROMPT // groups[0].case.chunk)
        turns = {record.name: record for record in take_turns(workers, "decode", rounds=settings.rounds, count=BURST)}
        return [
            figures(worker, turns, lanes=group.case.lanes, first=members[0].peer.name)
            for group, members in zip(groups, started, strict=True)
            for worker in members
        ]


def figures(worker: Worker, turns: dict[str, Turns], *, lanes: int, first: str) -> dict[str, Any]:
    """One row of the table."""
    record = turns[worker.peer.name]
    return {
        "contestant": worker.peer.name,
        "lanes": lanes,
        "ms/token": 1e3 * record.median,
        "best": 1e3 * record.best,
        "tokens/s": lanes / record.median,
        "time / first": turns[first].times_faster_than(record),
        "peak MB": worker.peak_mb,
        "loaded MB": worker.hello["loaded_mb"],
        "versions": worker.hello["versions"],
        "turns": record.to_json(),
        "note": worker.peer.note,
    }
