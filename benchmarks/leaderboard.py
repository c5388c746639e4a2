"""Every causal architecture on one page: what it costs, how well it predicts books, and what it can recall.

    python -m benchmarks.leaderboard        writes docs/leaderboard.md from the results that its commands have left

A model stands below another one only if each of its runs is worse than each of the other's: places are shared where
chance could have turned them round.
"""

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from everlong.models import list_models
from everlong.wording import bytes_text

from .report import RESULTS, markdown

PAGE = Path(__file__).resolve().parents[1] / "docs" / "leaderboard.md"
TEXT = "quality-memories-english-novels"
RECALL = [f"recall-multi-query-recall-{size}" for size in ("64-4", "128-8", "256-16")]
PASSKEY = "recall-passkey"
Row = dict[str, Any]

INTRODUCTION = """# Leaderboard

Every causal architecture at one budget of processor time, on books and on what can be recalled. This page is what
`python -m benchmarks.leaderboard` makes of the raw results in [benchmarks/results](../benchmarks/results); the machine,
the commit and all settings of each run are there.

Budgets are small, minutes of one thread, and sizes are too: the tables say what a model learns first, not what it
learns in the end. Figures are means over seeds ± largest minus smallest. A model has a lower place than another only if
each of its runs is worse than each of the other's."""

BOOKS = """## Books

`python -m benchmarks.quality {command}`

Bytes of 79 novels, one learning rate for all; bits per byte of the first 20,000 characters of each of 8 unseen novels,
lower is better: with the memory carried through the book, emptied every 128 bytes, and taken from another book.
"""

PAIRS = """## Recall: pairs by load

`python -m benchmarks.recall {command}`

Multi-query recall ([recall.md](recall.md)): keys with values, then keys alone; right answers in per cent by length and
number of pairs, learned and measured at that size at `d_model` 64. Guessing gets {chance:.1f}.
"""

KEYS = """## Recall: a pass key by length

`python -m benchmarks.recall {command}`

One pass key in noise, learned at the first length and measured at up to 16 times that; right digits in per cent.
"""


def runs_by_model(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The runs of each causal architecture as it comes; variants, which have a plus in their names, are left out."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row["model"] in list_models("causal"):
            found.setdefault(row["model"], []).append(row)
    return found


def places(figures: dict[str, Sequence[float]]) -> dict[str, int]:
    """For each model, one more than the models of which every run has a lower figure than all of its own.

    >>> places({"a": [1.0, 1.2], "b": [1.1, 1.3], "c": [1.25, 1.4]})
    {'a': 1, 'b': 1, 'c': 2}
    """
    return {name: 1 + sum(max(theirs) < min(mine) for theirs in figures.values()) for name, mine in figures.items()}


def spread(values: Sequence[float], digits: int) -> str:
    """The mean, and the largest less the smallest.

    >>> spread([1.0, 1.5], 2)
    '1.25 ± 0.50'
    """
    return f"{statistics.mean(values):.{digits}f} ± {max(values) - min(values):.{digits}f}"


def text_table(rows: Iterable[Row]) -> str:
    """Bits per byte of unseen books, the best model first."""
    runs = runs_by_model(rows)

    def of(name: str, key: str) -> list[float]:
        return [float(row[key]) for row in runs[name]]

    place = places({name: of(name, "bits_per_byte") for name in runs})
    order = sorted(runs, key=lambda name: (place[name], statistics.mean(of(name, "bits_per_byte"))))
    columns: dict[str, Callable[[str], object]] = {
        "place": lambda name: place[name],
        "model": lambda name: f"`{name}`",
        "runs": lambda name: len(runs[name]),
        "parameters": lambda name: f"{runs[name][0]['parameters']:,}",
        "a session keeps": lambda name: bytes_text(runs[name][0]["memory_bytes"]),
        "CPU min": lambda name: f"{statistics.mean(of(name, 'training_cpu_seconds')) / 60:.1f}",
        "M bytes read": lambda name: f"{statistics.mean(of(name, 'training_tokens')) / 1e6:.1f}",
        "carried": lambda name: spread(of(name, "bits_per_byte"), 3),
        "reset": lambda name: spread(of(name, "bits_per_byte_reset"), 3),
        "wrong document": lambda name: spread(of(name, "bits_per_byte_other"), 3),
        "carried saves": lambda name: spread(of(name, "gain"), 3),
    }
    return markdown(list(columns), [{head: cell(name) for head, cell in columns.items()} for name in order])


def right(runs: Sequence[Row], sizes: Row) -> list[float]:
    """Right answers of each run at a trial, in per cent."""
    return [100 - 100 * next(t["wrong_answers"] for t in run["trials"] if t["sizes"] == sizes) for run in runs]


def recall_table(files: Sequence[Sequence[Row]], *, columns: Sequence[tuple[int, Row]]) -> str:
    """Right answers, the best model first; a column is a file's number and the sizes of a trial in it."""
    runs = [runs_by_model(rows) for rows in files]
    found = {
        name: [right(runs[number].get(name, []), sizes) for number, sizes in columns]
        for name in dict.fromkeys(name for file in runs for name in file)
    }
    everything = {
        name: [-statistics.mean(figures) for figures in zip(*cells, strict=False)] for name, cells in found.items()
    }
    place = places(everything)
    rows: list[Row] = []
    for name in sorted(found, key=lambda name: (place[name], statistics.mean(everything[name]))):
        one = next(file[name][0] for file in runs if name in file)
        heads = (", ".join(f"{size:,}" for size in sizes.values()) for _, sizes in columns)
        cells = (spread(cell, 1) if cell else None for cell in found[name])
        rows.append(
            {
                "place": place[name],
                "model": f"`{name}`",
                "runs": max(map(len, found[name])),
                "a session keeps": bytes_text(one["memory_bytes"]),
                **dict(zip(heads, cells, strict=True)),
            }
        )
    return markdown(list(rows[0]), rows)


def command(result: Row) -> str:
    """The words on the command line that made a result."""
    return " ".join(result["command"])


def page(results: dict[str, Row]) -> str:
    """The whole page, of the results by their names."""
    pairs, keys = [results[name] for name in RECALL], results[PASSKEY]
    usual = [(n, file["rows"][0]["trials"][0]["sizes"]) for n, file in enumerate(pairs)]
    longer = [(0, trial["sizes"]) for trial in keys["rows"][0]["trials"]]
    chance = 200 / pairs[0]["rows"][0]["rules"]["symbols"]
    parts = [
        INTRODUCTION,
        BOOKS.format(command=command(results[TEXT])),
        text_table(results[TEXT]["rows"]),
        PAIRS.format(command=command(pairs[0]), chance=chance),
        recall_table([file["rows"] for file in pairs], columns=usual),
        KEYS.format(command=command(keys)),
        recall_table([keys["rows"]], columns=longer),
    ]
    return "\n".join([parts[0], "", *parts[1:]]) + "\n"


def main() -> None:
    """Write the page."""
    names = [TEXT, *RECALL, PASSKEY]
    PAGE.write_text(page({name: json.loads((RESULTS / f"{name}.json").read_text()) for name in names}))


if __name__ == "__main__":
    main()
