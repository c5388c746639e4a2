"""Generation: one token of every lane at a time, with a full memory."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .harness import Worker, take_turns
from .rosters import GRU, LSTM, RECURRENT_ATTENTION, STREAMING, Group, all_started, entrants, gate, sized
from .settings import Settings
from .turns import Turns

COLUMNS = ("contestant", "lanes", "ms/token", "best", "tokens/s", "time / first", "peak MB", "loaded MB")
PROMPT = 1024
LONG_PROMPT = 2048
"""Tokens read before: by chunks of 256, or in one go, as peers with a cache insist; more where a memory holds more."""

BURST = 32
"""Tokens of one turn: enough to warm the caches that the others emptied, few enough for many turns."""


def decode(settings: Settings) -> dict[str, Any]:
    """Everybody at one lane, then everybody at sixteen."""
    groups = entrants([RECURRENT_ATTENTION, LSTM, GRU], settings)
    return measure(groups, sized(groups, chunk=256), settings)


def decode_memory(settings: Settings) -> dict[str, Any]:
    """The same for compressed memories, buckets, windows and patterns."""
    groups = entrants(STREAMING, settings)
    return measure(groups, [prompted(group, settings) for group in groups], settings)


def prompted(group: Group, settings: Settings) -> Group:
    """A group whose chunk is its prompt, with room for what will be decoded."""
    prompt = max(LONG_PROMPT, group.case.context)
    return replace(group, case=replace(group.case, chunk=prompt, horizon=prompt + BURST * (settings.rounds + 1)))


def measure(proven: Sequence[Group], groups: Sequence[Group], settings: Settings) -> dict[str, Any]:
    """Gate at the sizes of training; figures at segments of one token."""
    gated = gate(proven, threads=settings.threads)
    rows = [row for lanes in (1, 16) for row in bursts(sized(groups, lanes=lanes, segment=1), settings)]
    return {"columns": COLUMNS, "rows": rows, "gate": gated, "burst": BURST}


def bursts(groups: Sequence[Group], settings: Settings) -> list[dict[str, Any]]:
    """Prompt, turns of a burst each, figures."""
    with all_started(groups, threads=settings.threads) as started:
        for group, members in zip(groups, started, strict=True):
            for worker in members:
                worker.ask("read", count=max(1, PROMPT // group.case.chunk))
        workers = [worker for members in started for worker in members]
        turns = {record.name: record for record in take_turns(workers, "decode", rounds=settings.rounds, count=BURST)}
        return [
            figures(worker, turns, group=group, first=members[0].peer.name)
            for group, members in zip(groups, started, strict=True)
            for worker in members
        ]


def figures(worker: Worker, turns: dict[str, Turns], *, group: Group, first: str) -> dict[str, Any]:
    """One row of the table."""
    record, case = turns[worker.peer.name], group.case
    return {
        "contestant": worker.peer.name,
        "lanes": case.lanes,
        "ms/token": 1e3 * record.median,
        "best": 1e3 * record.best,
        "tokens/s": case.lanes / record.median,
        "time / first": turns[first].times_faster_than(record),
        "peak MB": worker.peak_mb,
        "loaded MB": worker.hello["loaded_mb"],
        "prompt": max(PROMPT, case.chunk),
        "versions": worker.hello["versions"],
        "turns": record.to_json(),
        "note": worker.peer.note,
    }
