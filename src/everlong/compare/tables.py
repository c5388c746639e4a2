"""The figures for programs: a row a run, and everything."""

import csv
import io
import json
import statistics
from typing import Any

from everlong.compare.figures import Figures, RunFigures
from everlong.compare.verdict import conclude

COLUMNS = (
    *("model", "seed", "failure", "bits_per_byte", "bits_per_byte_reset", "bits_per_byte_other", "parameters"),
    *("memory_bytes", "steps", "tokens", "operations", "seconds", "best_step", "training_tokens_per_second"),
    *("reading_tokens_per_second", "decoding_tokens_per_second"),
)
"""Columns of every table; a column of accuracy for each probe follows."""


def csv_table(figures: Figures) -> str:
    """A row for each run on text, with the accuracy of its probes beside it."""
    table = io.StringIO()
    writer = csv.DictWriter(table, [*COLUMNS, *(f"accuracy_{probe}" for probe in figures.probes)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(_row(figures, run) for run in figures.runs if not run.probe)
    return table.getvalue()


def json_text(figures: Figures) -> str:
    """Everything, and what it allows to say."""
    return json.dumps(to_dict(figures), ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def to_dict(figures: Figures) -> dict[str, Any]:
    """Everything, and what it allows to say, as JSON values; the bounds of what has no interval are null."""
    findings = [
        {
            "topic": finding.topic,
            "about": finding.about,
            "outcome": finding.outcome,
            "best": list(finding.best),
            "values": {
                name: {
                    "mean": value.mean,
                    "low": value.low if value.known else None,
                    "high": value.high if value.known else None,
                }
                for name, value in finding.values.items()
            },
        }
        for finding in conclude(figures)
    ]
    return {"findings": findings, **figures.model_dump(mode="json")}


def _row(figures: Figures, run: RunFigures) -> dict[str, Any]:
    model = next((one for one in figures.models if one.model == run.model), None)
    row: dict[str, Any] = {
        "model": run.model,
        "seed": run.seed,
        "failure": run.failure,
        "parameters": run.parameters,
        "steps": run.steps,
        "tokens": run.tokens,
        "operations": run.operations,
        "seconds": round(run.seconds, 3),
        "best_step": run.best_step,
        "training_tokens_per_second": round(run.tokens_per_second, 1),
    }
    if run.text:
        row |= {
            "bits_per_byte": run.text.carried,
            "bits_per_byte_reset": run.text.reset,
            "bits_per_byte_other": run.text.other,
        }
    if model:
        row |= {
            "memory_bytes": model.memory_bytes,
            "reading_tokens_per_second": round(statistics.fmean(model.reading), 1),
            "decoding_tokens_per_second": round(statistics.fmean(model.decoding), 1),
        }
    for probe in figures.probes:
        probed = next((one.probed for one in figures.of(run.model, probe) if one.seed == run.seed), None)
        row[f"accuracy_{probe}"] = probed.accuracy if probed else None
    return row
