"""A comparison from its first run to its page."""

import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from everlong.compare import speeds
from everlong.compare.figures import Figures, RunFigures
from everlong.compare.page import write_page
from everlong.compare.tables import csv_table, json_text
from everlong.compare.terms import Terms, Turn
from everlong.compare.turns import Report, Texts, run_turns
from everlong.compare.words import Language, language_of
from everlong.run import load
from everlong.storage import write_whole
from everlong.train import rank_device

PAGE, ROWS, EVERYTHING = "report.html", "comparison.csv", "comparison.json"

SAMPLE = 4096
"""Tokens of the text by which its language is told."""


def compare(
    terms: Terms,
    texts: Texts,
    folder: Path,
    *,
    language: Language | None,
    tell: Callable[[str], None],
    report: Report,
) -> Figures | None:
    """Train and measure every run that is not yet, then write ``report.html``, ``comparison.csv`` and
    ``comparison.json``; ``None`` after Ctrl-C.

    Args:
        terms: those that `everlong.compare.turns.agree` noted in the folder.
        texts: what all learn from and are measured on.
        folder: where everything goes.
        language: of the page; ``None`` for Chinese where the text is mostly Chinese, else English.
        tell: takes a sentence about what comes next.
        report: takes the progress of each run.

    Raises:
        EverlongError: a run cannot begin or go on, or the disk is full.
    """
    runs = run_turns(terms, texts, folder, report=report)
    if runs is None:
        return None
    tell("measuring how fast they read and write")
    finished = _finished(terms, runs, folder)
    text = texts.train.tokens[: speeds.ENDS[-1]]
    chunk = terms.training.chunk
    figures = Figures(
        terms=terms.to_dict(),
        data={
            "n_tokens": texts.train.n_tokens,
            "n_held_out_tokens": texts.valid.n_tokens,
            "n_held_out_bytes": texts.valid.n_bytes,
            "n_held_out_documents": texts.valid.n_documents,
            "tokenizer": texts.tokenizer.name,
        },
        runs=tuple(runs),
        models=tuple(speeds.measure_models(finished, text, chunk=chunk, rounds=speeds.ROUNDS)),
        machine=_machine(),
    )
    told = language or language_of(texts.tokenizer.decode(texts.train.tokens[:SAMPLE]))
    write_whole(folder / ROWS, csv_table(figures).encode())
    write_whole(folder / EVERYTHING, json_text(figures).encode())
    write_whole(folder / PAGE, write_page(figures, told))
    return figures


def _finished(terms: Terms, runs: list[RunFigures], folder: Path) -> Mapping[str, Any]:
    """Of each model, a run on text that did not fail."""
    good = {run.model: run for run in reversed(runs) if not run.failure and not run.probe}
    return {
        name: load(folder / Turn(model=name, seed=good[name].seed).name).language_model.to(rank_device())
        for name in terms.models
        if name in good
    }


def _machine() -> str:
    threads = torch.get_num_threads()
    return f"{platform.machine()}, {threads} thread{'s' if threads > 1 else ''}"
