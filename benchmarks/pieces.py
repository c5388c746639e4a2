"""A comparison of models made in pieces: every model with every seed, one result file, no run made twice.

Runs that the result file has already, with the same settings, are kept. Every run trains on one thread in a process of
its own, so two at a time do not disturb each other's arithmetic.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol, TypeVar

os.environ.setdefault("OMP_NUM_THREADS", "1")

from everlong.train.state import TrainingState

from .machine import describe

RESULTS = Path(__file__).parent / "results"
Row = dict[str, Any]


class Job(Protocol):
    """One run."""

    @property
    def model(self) -> str:
        """What is trained."""
        ...

    @property
    def seed(self) -> int:
        """Decides weights and dropout."""
        ...

    @property
    def asked(self) -> Row:
        """What tells this run from others: a row that has it all is its result."""
        ...

    @property
    def shared(self) -> Row:
        """What every row of its result file has in common with it."""
        ...


@dataclass(frozen=True, kw_only=True)
class Training:
    """A run that trains a model; what differs between comparisons is for their jobs to say."""

    model: str
    """The name in the registry and, after a plus, what it differs in from the model of that name."""
    seed: int
    folder: Path
    overrides: dict[str, Any]
    """Fields of the model that were asked for on the command line."""
    settings: dict[str, Any]
    """Fields of the training that were."""

    @property
    def architecture(self) -> str:
        """The name in the registry."""
        return self.model.partition("+")[0]

    def chosen(self, sizes: Row, settings: Row, *, name: str = "settings") -> Row:
        """Model, seed, config and settings, what was asked for in the place of what is usual."""
        config = {**sizes, **self.overrides}
        return {"model": self.model, "seed": self.seed, "config": config, name: {**settings, **self.settings}}


J = TypeVar("J", bound=Job)


def comparison(description: str | None, *, models: Sequence[str], known: Iterable[str]) -> argparse.ArgumentParser:
    """The options that every comparison has; `models` are compared unless others are named."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(models), choices=sorted(known))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="model fields, as JSON values")
    parser.add_argument("--train", nargs="*", default=[], metavar="KEY=VALUE", help="training fields, as JSON values")
    parser.add_argument("--name", default="")
    return parser


def fields(pairs: Iterable[str]) -> dict[str, Any]:
    """Fields from KEY=VALUE words."""
    return {key: json.loads(value) for key, _, value in (pair.partition("=") for pair in pairs)}


def updates_in(state: TrainingState, *, cpu_minutes: float, trial: int) -> int:
    """How many updates a training makes in so much processor time: by so many of a trial, after two more."""
    for _ in range(2):
        state.advance()
    began = time.process_time()
    for _ in range(trial):
        state.advance()
    return max(1, int(60 * cpu_minutes * trial / (time.process_time() - began)))


def unfinished(jobs: Sequence[J], rows: Sequence[Row], result: Path) -> list[J]:
    """The runs that a result file lacks; one that holds other runs is not written to."""
    for row in rows:
        other = [job.asked for job in jobs if (job.model, job.seed) == (row["model"], row["seed"])]
        spoken_for = other or [job.shared for job in jobs[:1]]
        if not any(asked.items() <= row.items() for asked in spoken_for):
            sys.exit(f"{result} holds a {row['model']} of seed {row['seed']} made otherwise: give another --name.")
    finished = {(row["model"], row["seed"]) for row in rows}
    return [job for job in jobs if (job.model, job.seed) not in finished]


def run_all(
    jobs: Sequence[J],
    result: Path,
    *,
    run: Callable[[J], Row],
    table: Callable[[list[Row]], str],
    order: Iterable[str],
    processes: int,
) -> None:
    """Make every run that has no result yet, so many at a time, and write the file after each.

    Where a run fails, the others are made and written all the same, and the first failure is raised at the end.
    """
    rows: list[Row] = json.loads(result.read_text())["rows"] if result.exists() else []
    places = list(order)
    todo = unfinished(jobs, rows, result)
    failures: list[BaseException] = []
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        for done in as_completed([pool.submit(run, job) for job in todo]):
            if failure := done.exception():
                failures.append(failure)
                continue
            rows.append(done.result())
            rows.sort(key=lambda row: (places.index(row["model"]), row["seed"]))
            record = {"command": sys.argv[1:], "machine": describe(threads=1), "rows": rows}
            result.parent.mkdir(exist_ok=True)
            result.write_text(json.dumps(record, indent=1) + "\n")
            print(table(rows), file=sys.stderr, flush=True)
    if failures:
        raise failures[0]
