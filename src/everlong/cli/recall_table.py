"""Accuracy by load and by distance: a row for each, a column for each reading of each model."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from rich import box
from rich.console import Console
from rich.table import Table

from everlong.evaluate.recall import Recall, Right, added

WIDEST = 1000
"""Columns of text that a table has at most."""


@final
@dataclass(frozen=True, kw_only=True)
class Column:
    """One reading of one model, by seed and by load."""

    name: str
    found: Sequence[Sequence[Recall]]
    reading: str = "carried"


def recall_table(columns: Sequence[Column], *, across: bool) -> Table:
    """All loads one below the other, each followed by its distances.

    Args:
        columns: all of the same sequences.
        across: whether only answers across a cut count, where marks tell which are.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for name in ("answers", *(column.name for column in columns), "chance"):
        table.add_column(name, justify="right", vertical="bottom")
    for load, trial in enumerate(columns[0].found[0]):
        for mark in (None, *sorted(trial.by_mark)):
            each = [[_right(one[load], mark, across=across) for one in column.found] for column in columns]
            parts = [_part([right.accuracy(c.reading) for right in of]) for c, of in zip(columns, each, strict=True)]
            whole = mark is None
            name, chance = (trial.label, f"{trial.chance:.1%}") if whole else (f"  {trial.mark} {mark:,}", "")
            if whole or each[0][0].n_answers:
                table.add_row(name, f"{each[0][0].n_answers:,}", *parts, chance)
        table.add_section()
    return table


def show(table: Table) -> None:
    """Print a table; where nobody watches, as wide as it is."""
    console = Console()
    if not console.is_terminal:
        wide = console.options.update(max_width=WIDEST)
        console.width = max(console.width, console.measure(table, options=wide).maximum)
    console.print(table)


def _right(found: Recall, mark: int | None, *, across: bool) -> Right:
    by_mark = found.told if across else found.by_mark
    return added(list(by_mark.values())) if mark is None else by_mark.get(mark, Right())


def _part(by_seed: Sequence[float | None]) -> str:
    """A part of the answers, or its mean over seeds with their standard deviation."""
    parts = [part for part in by_seed if part is not None]
    if not parts:
        return ""
    if len(parts) == 1:
        return f"{parts[0]:.1%}"
    return f"{100 * statistics.fmean(parts):.0f} ±{statistics.stdev(parts):.0%}"
