"""Training steps: forward, backward, optimiser step on one chunk of every lane, memory carried."""

from collections.abc import Sequence
from typing import Any

from .harness import Worker, take_turns
from .peers import SGEMM
from .rosters import CEILING, GRU, LSTM, PEAK, RECURRENT_ATTENTION, Group, all_started, entrants, gate, sized
from .settings import Settings
from .turns import Turns

COLUMNS = (
    "contestant",
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
    everybody = Group(case=RECURRENT_ATTENTION.case, peers=RECURRENT_ATTENTION.peers + CEILING.peers)
    return measure([everybody, PEAK], settings)


def train_rnn(settings: Settings) -> dict[str, Any]:
    """LSTM and GRU against the bare library layers."""
    return measure([LSTM, GRU, PEAK], settings)


def measure(groups: Sequence[Group], settings: Settings) -> dict[str, Any]:
    """Gate, turns, figures."""
    groups = sized(entrants(groups, only=settings.only, without=settings.without), optimizer=settings.optimizer)
    proven = gate(groups, threads=settings.threads)
    with all_started(groups, threads=settings.threads) as started:
        workers = [worker for group in started for worker in group]
        turns = {record.name: record for record in take_turns(workers, "train", rounds=settings.rounds, warmup=2)}
        peak = sgemm_speed(turns)
        rows = [
            figures(worker, turns, group=group, first=members[0].peer.name, peak=peak)
            for group, members in zip(groups, started, strict=True)
            for worker in members
        ]
        versions = {worker.peer.name: worker.hello["versions"] for worker in workers}
    return {"columns": COLUMNS, "rows": rows, "gate": proven, "versions": versions, "sgemm_gflops": peak}


def sgemm_speed(turns: dict[str, Turns]) -> float | None:
    """GFLOP/s of the matrix product in this very run, if it took part."""
    record = turns.get(SGEMM.name)
    return SGEMM.step(PEAK.case) / record.median / 1e9 if record else None


def figures(worker: Worker, turns: dict[str, Turns], *, group: Group, first: str, peak: float | None) -> dict[str, Any]:
    """One row of the table."""
    record, case = turns[worker.peer.name], group.case
    speed = worker.peer.step(case) / record.median / 1e9
    row = {
        "contestant": worker.peer.name,
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
        "tokens/s": case.lanes * case.chunk / record.median,
        "time / first": turns[first].times_faster_than(record),
        "M parameters": worker.hello["parameters"] / 1e6,
    }
