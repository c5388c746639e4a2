"""Decoding far into a text: a token costs the same at position a million as at a thousand."""

from collections.abc import Sequence
from typing import Any

from .harness import Worker
from .peers import EVERLONG_TRANSFORMER
from .reading import checkpoints
from .rosters import RECURRENT_ATTENTION, STREAMING, Group, all_started, entrants, gate, ours, sized, without
from .settings import Settings
from .turns import Turns

COLUMNS = ("contestant", "token", "ms/token", "best", "time / first", "now MB", "peak MB")
CHUNK = 256
TOKENS_A_TURN = 50
WARM = 5
"""Tokens of a turn that only warm the caches."""


def decode_flat(settings: Settings) -> dict[str, Any]:
    """Transformer-XL."""
    return measure(without(ours([RECURRENT_ATTENTION]), EVERLONG_TRANSFORMER), settings)


def decode_flat_memory(settings: Settings) -> dict[str, Any]:
    """Compressed memory, buckets, window and patterns."""
    return measure(ours(STREAMING), settings)


def measure(groups: Sequence[Group], settings: Settings) -> dict[str, Any]:
    """One contestant after the other, each against itself."""
    groups = sized(entrants(groups, settings), lanes=1, chunk=CHUNK)
    proven = gate(groups, threads=settings.threads)
    rows = list[dict[str, Any]]()
    for group in groups:
        with all_started([group], threads=settings.threads) as (workers,):
            for worker in workers:
                rows += walk(worker, settings)
    return {"columns": COLUMNS, "rows": rows, "gate": proven}


def walk(worker: Worker, settings: Settings) -> list[dict[str, Any]]:
    """Read to each checkpoint and mark it; then decode from all marks in turns, so that no drift counts."""
    marks = read_and_mark(worker, tokens=settings.tokens)
    turns = decode_from_marks(worker, marks=list(marks), rounds=settings.rounds)
    return [
        {
            "contestant": worker.peer.name,
            "token": checkpoint,
            "ms/token": 1e3 * record.median,
            "best": 1e3 * record.best,
            "time / first": turns[0].times_faster_than(record),
            **marks[checkpoint],
            "peak MB after decoding": worker.peak_mb,
            "turns": record.to_json(),
        }
        for checkpoint, record in zip(marks, turns, strict=True)
    ]


def read_and_mark(worker: Worker, *, tokens: int) -> dict[int, dict[str, float]]:
    """Resident memory at each checkpoint, taken after a first burst of decoding there."""
    resident, done = {}, 0
    for checkpoint in checkpoints(tokens):
        goal = -(-checkpoint // CHUNK)
        worker.ask("read", count=goal - done)
        done = goal
        worker.ask("mark", name=str(checkpoint))
        worker.ask("decode", count=TOKENS_A_TURN)
        resident[checkpoint] = {"now MB": worker.now_mb, "peak MB": worker.peak_mb}
        worker.ask("recall", name=str(checkpoint))
    return resident


def decode_from_marks(worker: Worker, *, marks: list[int], rounds: int) -> list[Turns]:
    """A burst from each mark in turn, each burst starting where its mark's last one ended."""
    turns = [Turns(str(mark)) for mark in marks]
    for _ in range(rounds):
        for record in turns:
            worker.ask("recall", name=record.name)
            seconds = worker.ask("decode", count=TOKENS_A_TURN + WARM)
            worker.ask("mark", name=record.name)
            record.rounds.append(seconds[WARM:])
    return turns
