"""Decoding far into a text: a token costs the same at position a million as at a thousand."""

from typing import Any

from .harness import Worker
from .peers import EVERLONG_XL
from .reading import checkpoints
from .rosters import RECURRENT_ATTENTION, Group, all_started, gate, sized
from .settings import Settings
from .turns import Turns

COLUMNS = ("contestant", "token", "ms/token", "best", "time / first", "now MB", "peak MB")
TOKENS_A_TURN = 50
WARM = 5
"""Tokens of a turn that only warm the caches."""


def decode_flat(settings: Settings) -> dict[str, Any]:
    """Read to each checkpoint and mark it; then decode from all marks in turns, so that no drift counts."""
    groups = sized([Group(case=RECURRENT_ATTENTION.case, peers=(EVERLONG_XL,))], lanes=1)
    proven = gate(groups, threads=settings.threads)
    with all_started(groups, threads=settings.threads) as started:
        worker = started[0][0]
        marks = read_and_mark(worker, tokens=settings.tokens, chunk=groups[0].case.chunk)
        turns = decode_from_marks(worker, marks=list(marks), rounds=settings.rounds)
        rows = [
            {
                "contestant": worker.peer.name,
                "token": checkpoint,
                "ms/token": 1e3 * record.median,
                "best": 1e3 * record.best,
                "time / first": turns[0].times_faster_than(record),
                **marks[checkpoint],
                "turns": record.to_json(),
            }
            for checkpoint, record in zip(marks, turns, strict=True)
        ]
    return {"columns": COLUMNS, "rows": rows, "gate": proven, "peak MB after decoding": worker.peak_mb}


def read_and_mark(worker: Worker, *, tokens: int, chunk: int) -> dict[int, dict[str, float]]:
    """Resident memory at each checkpoint, taken after a first burst of decoding there."""
    resident, done = {}, 0
    for checkpoint in checkpoints(tokens):
        goal = -(-checkpoint // chunk)
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
