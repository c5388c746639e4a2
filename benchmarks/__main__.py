"""`python -m benchmarks NAME`: measure, print a Markdown table, write benchmarks/results/NAME.json."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from . import machine, report
from .decoding import decode
from .flatness import decode_flat
from .harness import BenchmarkError
from .reading import read
from .settings import Settings
from .training import train_rnn, train_xl

BENCHMARKS: dict[str, tuple[Callable[[Settings], dict[str, Any]], int]] = {
    "train-xl": (train_xl, 15),
    "train-rnn": (train_rnn, 15),
    "decode": (decode, 16),
    "decode-flat": (decode_flat, 10),
    "read": (read, 16),
}
"""What there is, and how many rounds make its figures steady."""


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
    line.add_argument("--tokens", type=int, default=1_000_000, help="how far `read` and `decode-flat` go")
    line.add_argument("--name", help="name of the results file (default: the benchmark's)")
    line.add_argument("--rehearse", action="store_true", help="one round on one thread, nothing saved: does it run?")
    return line


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


if __name__ == "__main__":
    sys.exit(main())
