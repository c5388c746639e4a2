"""Whether `everlong plan` foretells what is then measured: ten setups, time and memory.

    python -m benchmarks.planning --rounds 3

Each round predicts first, from small runs, and then measures the setup itself; figures are medians over the rounds. A
step is one update of the learner, on one thread; times are the processor's, which other work disturbs least. Bytes of
activations and at the peak of a step are those of tensors, counted in an update of the whole setup. The process is what
one of its own grows by from before the model is built to the peak of three updates, with all that libraries and freed
pieces take. An error is that of the prediction, relative to what was measured.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from everlong.models import describe_model
from everlong.plan import Predictor, Setup
from everlong.plan.trial import DECODED, decoding_trial, training_trial
from everlong.train import TrainConfig

from . import process_memory
from .machine import describe
from .report import markdown, save

ROOT = Path(__file__).resolve().parents[1]
LENGTH = 100_000
TRAINING: dict[str, Any] = {"lanes": 8, "chunk": 256}
SETUPS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "gru": ("gru", {"d_model": 512, "n_layers": 4}, TRAINING),
    "lstm": ("lstm", {"d_model": 512, "n_layers": 4}, TRAINING),
    "transformer": ("transformer", {"n_layers": 6}, TRAINING),
    "transformer-xl": ("transformer-xl", {"n_layers": 4}, TRAINING),
    "compressive-transformer": ("compressive-transformer", {"n_layers": 4}, {"lanes": 4, "chunk": 256}),
    "longformer": ("longformer", {"n_layers": 4}, {"lanes": 2, "chunk": 1024}),
    "sparse-transformer": ("sparse-transformer", {"n_layers": 4}, {"lanes": 4, "chunk": 512}),
    "reformer": ("reformer", {"n_layers": 6}, {"lanes": 4, "chunk": 256}),
    "ntm": ("ntm", {"n_layers": 1}, TRAINING),
    "hierarchical-transformer": ("hierarchical-transformer", {"n_layers": 6}, TRAINING),
}
"""Architecture, fields and training by name: none is as small as what is run to predict it."""

CLOCK = time.process_time

FIGURES = {
    "step": "ms/step",
    "token": "ms/token",
    "activations": "MB of activations",
    "peak": "MB at the peak",
    "process": "MB of a process",
}


def setup_of(name: str) -> Setup:
    """What is planned and measured."""
    architecture, fields, training = SETUPS[name]
    return Setup(
        architecture=architecture,
        model=describe_model(architecture)[1].parse(fields),
        training=TrainConfig.parse(training),
        length=LENGTH,
    )


def predicted(setup: Setup) -> dict[str, float]:
    """The figures before anything of that size has run."""
    forecast = Predictor(setup, clock=CLOCK).forecast(setup)
    assert forecast.token_seconds is not None
    return {
        "step": 1e3 * forecast.step_seconds,
        "token": 1e3 * forecast.token_seconds,
        "activations": forecast.step.kept / 1e6,
        "peak": forecast.step.peak / 1e6,
        "process": forecast.memory / 1e6,
    }


def measured(setup: Setup, *, turns: int) -> dict[str, float]:
    """Medians of updates and of decoded tokens."""
    return {
        "step": 1e3 * seconds_of(training_trial(setup).run, turns=turns),
        "token": 1e3 * seconds_of(decoding_trial(setup).run, turns=2 * turns) / DECODED,
    }


def seconds_of(run: Callable[[], object], *, turns: int) -> float:
    """Median seconds, after a run that does not count."""
    run()
    found = list[float]()
    for _ in range(turns):
        began = CLOCK()
        run()
        found.append(CLOCK() - began)
    return median(found)


def bytes_of(name: str) -> dict[str, float]:
    """MB that this process grows by at its peak, and then those of the tensors of an update."""
    began = process_memory.now()
    trial = training_trial(setup_of(name))
    for _ in range(3):
        trial.run()
    grown = process_memory.peak() - began
    counts = trial.counts()
    return {"activations": counts.kept / 1e6, "peak": counts.peak / 1e6, "process": grown}


def bytes_elsewhere(name: str) -> dict[str, float]:
    """The same of a new process."""
    words = [sys.executable, "-m", "benchmarks.planning", "--peak", name]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def row_of(name: str, *, rounds: int, turns: int) -> dict[str, Any]:
    """Predicted and measured figures of one setup, and their errors in percent."""
    setup, told, found = setup_of(name), list[dict[str, float]](), list[dict[str, float]]()
    for _ in range(rounds):
        told.append(predicted(setup))
        found.append(measured(setup, turns=turns))
    once = bytes_elsewhere(name)
    row: dict[str, Any] = {"setup": name}
    for figure, unit in FIGURES.items():
        before = median(one[figure] for one in told)
        after = once[figure] if figure in once else median(one[figure] for one in found)
        row |= {f"{unit} predicted": before, f"{unit} measured": after, f"{figure} error %": 100 * (before / after - 1)}
    return row | {"rounds": {"predicted": told, "measured": found}}


def main() -> None:
    """Predict and measure all, or some, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(SETUPS), choices=list(SETUPS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--turns", type=int, default=3, help="updates that are measured in each round")
    parser.add_argument("--name", default="planning", help="of the results file")
    parser.add_argument("--peak", choices=list(SETUPS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.peak:
        print(json.dumps(bytes_of(args.peak)))
        return
    rows = list[dict[str, Any]]()
    for name in args.only:
        rows.append(row_of(name, rounds=args.rounds, turns=args.turns))
        print(json.dumps({key: value for key, value in rows[-1].items() if key != "rounds"}), file=sys.stderr)
        columns = [key for key in rows[0] if key != "rounds"]
        about = {"machine": describe(threads=1), "setups": {one: SETUPS[one] for one in args.only}}
        save(args.name, {"columns": columns, "rows": rows, **about})
    print(markdown(columns, rows))


if __name__ == "__main__":
    main()
