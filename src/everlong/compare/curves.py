"""How a run learned, from its ``metrics.jsonl``."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from everlong.compare.figures import Moment
from everlong.train.metrics import METRICS

POINTS = 60
"""Moments that a curve is thinned out to."""


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """What the run noted after each update."""
    return [json.loads(line) for line in (run / METRICS).read_text(encoding="utf-8").splitlines()]


def speed(lines: Sequence[Mapping[str, Any]]) -> float:
    """Median tokens a second over the updates."""
    return statistics.median(line["tokens_per_second"] for line in lines)


def thinned(lines: Sequence[Mapping[str, Any]], *, tokens_each: int, operations_each: float) -> tuple[Moment, ...]:
    """Means over successive updates of so many tokens and operations each, at most `POINTS` of them."""
    known = [line for line in lines if line.get("bits_per_byte") is not None]
    group = max(1, -(-len(known) // POINTS))
    groups = [known[at : at + group] for at in range(0, len(known), group)]
    return tuple(
        Moment(
            tokens=tokens_each * _mean(part, "step"),
            seconds=_mean(part, "seconds"),
            operations=operations_each * _mean(part, "step"),
            bits=_mean(part, "bits_per_byte"),
        )
        for part in groups
    )


def _mean(lines: Sequence[Mapping[str, Any]], name: str) -> float:
    return statistics.fmean(line[name] for line in lines)
