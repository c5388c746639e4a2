"""`python -m benchmarks NAME`: measure, print a Markdown table, write benchmarks/results/NAME.json.

`length` draws docs/length.svg too.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from . import machine, report
from .applying import apply_classify, apply_seq2seq
from .decoding import decode, decode_memory
from .flatness import decode_flat, decode_flat_memory
from .forward import forward_longformer
from .harness import BenchmarkError
from .lengths import length, length_machines
from .peers import ROOT
from .plot import cost_against_length
from .reading import read, read_memory
from .reversible import reversible
from .settings import Settings
from .training import (
    train_classify,
    train_compressive,
    train_longformer,
    train_machines,
    train_reformer,
    train_rnn,
    train_seq2seq,
    train_sparse,
    train_xl,
)

BENCHMARKS: dict[str, tuple[Callable[[Settings], dict[str, Any]], int]] = {
    "train-xl": (train_xl, 15),
    "train-rnn": (train_rnn, 15),
    "train-compressive": (train_compressive, 15),
    "train-reformer": (train_reformer, 5),
    "train-longformer": (train_longformer, 5),
    "train-sparse": (train_sparse, 5),
    "train-machines": (train_machines, 15),
    "train-classify": (train_classify, 3),
    "apply-classify": (apply_classify, 4),
    "train-seq2seq": (train_seq2seq, 4),
    "apply-seq2seq": (apply_seq2seq, 3),
    "forward-longformer": (forward_longformer, 5),
    "decode": (decode, 16),
    "decode-memory": (decode_memory, 16),
    "decode-flat": (decode_flat, 10),
    "decode-flat-memory": (decode_flat_memory, 10),
    "read": (read, 16),
    "read-memory": (read_memory, 16),
    "length": (length, 3),
    "length-machines": (length_machines, 2),
    "reversible": (reversible, 2),
}
"""What there is, and how many rounds make its figures steady."""

PLOTS = {"length": cost_against_length}
"""What is also drawn, into docs/NAME.svg."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one benchmark or all; gives the process's exit code."""
    options = parser().parse_args(arguments)
    names = list(BENCHMARKS) if options.benchmark == "all" else [options.benchmark]
    try:
        for name in names:
            run(name, options)
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    return 0


def run(name: str, options: argparse.Namespace) -> None:
    """Measure one benchmark, print it and save it, unless it was only a rehearsal."""
    benchmark, rounds = BENCHMARKS[name]
    settings = Settings(
        threads=1 if options.rehearse else options.threads,
        rounds=1 if options.rehearse else options.rounds or rounds,
        only=options.only,
        without=options.without,
        optimizer=options.optimizer,
        tokens=2_000 if options.rehearse else options.tokens,
        rehearse=options.rehearse,
    )
    here = machine.describe(threads=settings.threads)
    if warning := machine.busy():
        print(warning, file=sys.stderr)
    result = benchmark(settings)
    print(f"\n## {name}\n\n{report.markdown(result['columns'], result['rows'])}\n")
    if options.rehearse:
        print("a rehearsal: these figures mean nothing and are not saved", file=sys.stderr)
        return
    saved = report.save(options.name or name, {"benchmark": name, "machine": here, "rounds": settings.rounds} | result)
    print(f"saved as {saved}", file=sys.stderr)
    if plot := PLOTS.get(name):
        plot(result["rows"], ROOT / "docs" / f"{options.name or name}.svg")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    line = argparse.ArgumentParser(prog="python -m benchmarks", description="Everlong beside its peers, in one run.")
    line.add_argument("benchmark", choices=[*BENCHMARKS, "all"])
    line.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="threads of every contestant (default: all cores)"
    )
    line.add_argument("--rounds", type=int, help="turns of every contestant that count (default: the benchmark's own)")
    line.add_argument("--only", type=_names, default=(), metavar="A,B", help="these contestants alone")
    line.add_argument("--without", type=_names, default=(), metavar="A,B", help="all contestants but these")
    line.add_argument("--optimizer", choices=["adamw", "sgd"], default="adamw", help="of the training benchmarks")
    line.add_argument("--tokens", type=int, default=1_000_000, help="how far `read` and `decode-flat` go, each of them")
    line.add_argument("--name", help="name of the results file (default: the benchmark's)")
    line.add_argument(
        "--rehearse", action="store_true", help="toys, one round, one thread, nothing saved: does it run?"
    )
    return line


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


if __name__ == "__main__":
    sys.exit(main())
