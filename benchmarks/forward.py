"""One pass over a long text without gradients, nothing carried into it and nothing kept."""

from typing import Any

from .harness import take_turns
from .rosters import DENSE, WINDOW, WINDOW_ENCODER, all_started, entrants, gate, joined, labelled, sized
from .settings import Settings

COLUMNS = ("contestant", "size", "ms", "best", "tokens/s", "time / first", "peak MB", "loaded MB")
LENGTH = 16_384


def forward_longformer(settings: Settings) -> dict[str, Any]:
    """Windows, one lane: those that look back with dense attention beside them, then those that look both ways."""
    groups = [labelled(joined(WINDOW, DENSE), "causal"), labelled(WINDOW_ENCODER, "encoder")]
    groups = entrants(groups, settings)
    proven = gate(groups, threads=settings.threads)
    groups = sized(groups, lanes=1, chunk=LENGTH // 128 if settings.rehearse else LENGTH)
    rows = list[dict[str, Any]]()
    with all_started(groups, threads=settings.threads) as started:
        workers = [worker for members in started for worker in members]
        turns = dict(zip(workers, take_turns(workers, "forward", rounds=settings.rounds), strict=True))
        for group, members in zip(groups, started, strict=True):
            for worker in members:
                record = turns[worker]
                rows.append(
                    {
                        "contestant": worker.peer.name,
                        "size": group.label,
                        "ms": 1e3 * record.median,
                        "best": 1e3 * record.best,
                        "tokens/s": group.case.chunk / record.median,
                        "time / first": turns[members[0]].times_faster_than(record),
                        "peak MB": worker.peak_mb,
                        "loaded MB": worker.hello["loaded_mb"],
                        "versions": worker.hello["versions"],
                        "turns": record.to_json(),
                        "note": worker.peer.note,
                    }
                )
    return {"columns": COLUMNS, "rows": rows, "gate": proven, "length": LENGTH}
