"""Peak memory of forward and backward against depth: layers that keep their activations, and layers that do not."""

from dataclasses import replace
from typing import Any

from .case import HASHED
from .harness import Worker, take_turns
from .rosters import BUCKETS, entrants, gate
from .settings import Settings

COLUMNS = ("contestant", "layers", "ms", "peak MB", "activations MB", "loaded MB", "M parameters")
DEPTHS = (4, 8, 16, 32)


def reversible(settings: Settings) -> dict[str, Any]:
    """One lane of 4,096 tokens; every depth in a process of its own, for a peak is for ever."""
    groups = entrants(
        [replace(BUCKETS, case=replace(HASHED, lanes=1, chunk=4096, context=4096, n_buckets=128))], settings
    )
    proven = gate(groups, threads=settings.threads)
    rows = list[dict[str, Any]]()
    for group in groups:
        for depth in (2, 4) if settings.rehearse else DEPTHS:
            for peer in group.peers:
                worker = Worker(peer, replace(group.case, n_layers=depth), threads=settings.threads)
                try:
                    (record,) = take_turns([worker], "backward", rounds=settings.rounds)
                finally:
                    worker.close()
                rows.append(figures(worker, depth=depth, seconds=record.median))
    return {"columns": COLUMNS, "rows": rows, "gate": proven}


def figures(worker: Worker, *, depth: int, seconds: float) -> dict[str, Any]:
    """One row. Activations are what is above the loaded process and the gradients, as large as the weights."""
    parameters, loaded = worker.hello["parameters"], worker.hello["loaded_mb"]
    return {
        "contestant": worker.peer.name,
        "layers": depth,
        "ms": 1e3 * seconds,
        "peak MB": worker.peak_mb,
        "activations MB": worker.peak_mb - loaded - 4 * parameters / 1e6,
        "loaded MB": loaded,
        "M parameters": parameters / 1e6,
        "versions": worker.hello["versions"],
        "note": worker.peer.note,
    }
