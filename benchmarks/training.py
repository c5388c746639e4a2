"""Training steps: forward, backward, optimiser step on one chunk of every lane, memory carried."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from .harness import Worker, take_turns
from .peers import SGEMM
from .rosters import (
    BUCKETS,
    CEILING,
    CLASSIFIERS,
    COMPRESSED,
    DENSE,
    GRU,
    LONG_CLASSIFIERS,
    LONG_WRITERS,
    LSTM,
    MACHINES,
    PATTERNS,
    PEAK,
    RECURRENT_ATTENTION,
    WINDOW,
    WINDOW_ENCODER,
    WRITERS,
    XT,
    Group,
    all_started,
    entrants,
    gate,
    joined,
    labelled,
    sized,
)
from .settings import Settings
from .turns import Turns

COLUMNS = (
    "contestant",
    "size",
    "ms/step",
    "best",
    "tokens/s",
    "time / first",
    "useful GFLOP/s",
    "% of sgemm",
    "peak MB",
    "loaded MB",
    "M parameters",
)


def train_xl(settings: Settings) -> dict[str, Any]:
    """Transformer-XL and its peers, a plain Transformer and the matrix product beside them."""
    return measure([joined(RECURRENT_ATTENTION, CEILING), PEAK], settings)


def train_rnn(settings: Settings) -> dict[str, Any]:
    """LSTM and GRU against the bare library layers."""
    return measure([LSTM, GRU, PEAK], settings)


def train_compressive(settings: Settings) -> dict[str, Any]:
    """Compressive Transformer and its peers, those of x-transformers that compress nothing, a plain Transformer."""
    return measure([joined(COMPRESSED, XT, CEILING), PEAK], settings)


def train_reformer(settings: Settings) -> dict[str, Any]:
    """Reformer and its peers against dense attention, at many short texts and at one long one."""
    short = labelled(joined(BUCKETS, DENSE), "4 x 2048", lanes=4, chunk=2048, context=2048, n_buckets=64)
    long = labelled(short, "1 x 8192", lanes=1, chunk=8192, context=8192, n_buckets=256)
    return measure([short, long, PEAK], settings)


def train_longformer(settings: Settings) -> dict[str, Any]:
    """Windows that look back, against dense attention; windows that look to both sides."""
    return measure([labelled(joined(WINDOW, DENSE), "causal"), labelled(WINDOW_ENCODER, "encoder"), PEAK], settings)


def train_sparse(settings: Settings) -> dict[str, Any]:
    """Both patterns at two strides against dense attention."""
    close = labelled(joined(PATTERNS, DENSE), "stride 64", stride=64)
    return measure([close, labelled(PATTERNS, "stride 128", stride=128), PEAK], settings)


def train_machines(settings: Settings) -> dict[str, Any]:
    """Controllers beside a matrix, the packaged one and a plain one, with few sequences and with many."""
    return measure([labelled(MACHINES, f"batch {lanes}", lanes=lanes) for lanes in (4, 32)] + [PEAK], settings)


def train_classify(settings: Settings) -> dict[str, Any]:
    """Classes of documents: dense attention, then windows with dense attention beside them."""
    return measure([*documents(), PEAK], settings)


def train_seq2seq(settings: Settings) -> dict[str, Any]:
    """A text from another, read by dense attention and by windows."""
    return measure([labelled(WRITERS, "8 x 256 to 64"), labelled(LONG_WRITERS, "2 x 4096 to 64"), PEAK], settings)


def documents() -> list[Group]:
    """Documents of one length and of several; dense attention is the ceiling where nothing is padded."""
    windows = replace(LONG_CLASSIFIERS, peers=LONG_CLASSIFIERS.peers[:2])
    return [
        labelled(CLASSIFIERS, "8 x 512", spread=0),
        labelled(CLASSIFIERS, "8 x 128 to 512"),
        labelled(LONG_CLASSIFIERS, "2 x 4096", spread=0),
        labelled(windows, "1024 and 4096"),
    ]


def measure(groups: Sequence[Group], settings: Settings) -> dict[str, Any]:
    """Gate, turns, figures."""
    groups = sized(entrants(groups, settings), optimizer=settings.optimizer)
    proven = gate(groups, threads=settings.threads)
    with all_started(groups, threads=settings.threads) as started:
        workers = [worker for members in started for worker in members]
        turns = dict(zip(workers, take_turns(workers, "train", rounds=settings.rounds, warmup=2), strict=True))
        peak = sgemm_speed(turns)
        rows = [
            figures(worker, turns, group=group, first=members[0], peak=peak)
            for group, members in zip(groups, started, strict=True)
            for worker in members
        ]
        versions = {worker.peer.name: worker.hello["versions"] for worker in workers}
    columns = [column for column in COLUMNS if column != "size" or any(group.label for group in groups)]
    return {"columns": columns, "rows": rows, "gate": proven, "versions": versions, "sgemm_gflops": peak}


def sgemm_speed(turns: Mapping[Worker, Turns]) -> float | None:
    """GFLOP/s of the matrix product in this very run, if it took part."""
    seconds = [record.median for worker, record in turns.items() if worker.peer is SGEMM]
    return SGEMM.step(PEAK.case) / seconds[0] / 1e9 if seconds else None


def figures(
    worker: Worker, turns: Mapping[Worker, Turns], *, group: Group, first: Worker, peak: float | None
) -> dict[str, Any]:
    """One row of the table."""
    record, case = turns[worker], group.case
    speed = worker.peer.step(case) / record.median / 1e9
    row = {
        "contestant": worker.peer.name,
        "size": group.label,
        "ms/step": 1e3 * record.median,
        "best": 1e3 * record.best,
        "useful GFLOP/s": speed,
        "% of sgemm": 100 * speed / peak if peak else None,
        "peak MB": worker.peak_mb,
        "loaded MB": worker.hello["loaded_mb"],
        "turns": record.to_json(),
        "note": worker.peer.note,
    }
    if worker.peer is SGEMM:
        return row
    return row | {
        "tokens/s": case.tokens / record.median,
        "time / first": turns[first].times_faster_than(record),
        "M parameters": worker.hello["parameters"] / 1e6,
    }
