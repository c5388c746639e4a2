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
RECALL = (
    "recall-multi-query-recall-64-4",
    "recall-multi-query-recall-128-8",
    "recall-multi-query-recall-256-16",
    "recall-passkey",
)
Row = dict[str, Any]

INTRODUCTION = """# Leaderboard

Every causal architecture at one budget of processor time, on books and on what can be recalled. This page is what
`python -m benchmarks.leaderboard` makes of the raw results in [benchmarks/results](../benchmarks/results); the machine,
the commit and all settings of each run are there.

Budgets are small, minutes of one thread, and sizes are too: the tables say what a model learns first, not what it
learns in the end. Figures are means over seeds ± largest minus smallest. A model has a lower place than another only if
each of its runs is worse than each of the other's; where either has a single run, that says little."""

BOOKS = """## Books

`python -m benchmarks.quality --name {name} --cpu-minutes {minutes:g} --models {models}`

Bytes of 79 novels, one learning rate for all; bits per byte of the first 20,000 characters of each of 8 unseen novels,
lower is better: with the memory carried through the book, emptied every 128 bytes, and taken from another book.
"""

ANSWERS = """## {title}

`python -m benchmarks.recall {command}`

{rules}, learned at the first size below; right answers in per cent at each size, on sequences that were not trained on.
"""

TITLES = {
    "multi-query-recall": ("Recall of pairs", "Multi-query recall ([recall.md](recall.md)) with {symbols} symbols"),
    "passkey": ("A pass key in noise", "Passkey retrieval ([recall.md](recall.md)) of {digits} digits"),
}
"""What a task's section is called, and its rules in words."""


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
    """The mean, and the largest less the smallest where there are several.

    >>> spread([1.0, 1.5], 2), spread([1.0], 2)
    ('1.25 ± 0.50', '1.00')
    """
    width = f" ± {max(values) - min(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{width}"


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


def answers_table(rows: Iterable[Row]) -> str:
    """Right answers at each size, the model with most on average first."""
    runs = runs_by_model(rows)
    wrong = {
        name: [[100 * trial["wrong_answers"] for trial in run["trials"]] for run in mine] for name, mine in runs.items()
    }
    means = {name: [statistics.mean(sizes) for sizes in mine] for name, mine in wrong.items()}
    place = places(means)
    lines: list[Row] = []
    for name in sorted(runs, key=lambda name: (place[name], statistics.mean(means[name]))):
        one = runs[name][0]
        heads = [", ".join(f"{size:,}" for size in trial["sizes"].values()) for trial in one["trials"]]
        right = [spread([100 - percent for percent in size], 1) for size in zip(*wrong[name], strict=True)]
        lines.append(
            {
                "place": place[name],
                "model": f"`{name}`",
                "runs": len(runs[name]),
                "parameters": f"{one['parameters']:,}",
                "a session keeps": bytes_text(one["memory_bytes"]),
                "k sequences": f"{statistics.mean(run['sequences_seen'] for run in runs[name]) / 1000:.0f}",
                **dict(zip(heads, right, strict=True)),
            }
        )
    return markdown(list(lines[0]), lines)


def page(results: dict[str, Row]) -> str:
    """The whole page, of the results by their names."""
    rows = results[TEXT]["rows"]
    books = BOOKS.format(name=TEXT, minutes=rows[0]["cpu_minutes"], models=" ".join(runs_by_model(rows)))
    parts = [INTRODUCTION, "", books, text_table(rows)]
    for name in (name for name in RECALL if name in results):
        first = results[name]["rows"][0]
        title, rules = TITLES[first["task"]]
        sizes = ", ".join(f"{word} {size:,}" for word, size in first["trials"][0]["sizes"].items())
        parts += [
            "",
            ANSWERS.format(
                title=f"{title}: {sizes}",
                command=" ".join(results[name]["command"]),
                rules=rules.format(**first["rules"]),
            ),
            answers_table(results[name]["rows"]),
        ]
    return "\n".join(parts) + "\n"


def main() -> None:
    """Write the page."""
    files = {name: RESULTS / f"{name}.json" for name in (TEXT, *RECALL)}
    PAGE.write_text(page({name: json.loads(file.read_text()) for name, file in files.items() if file.exists()}))


if __name__ == "__main__":
    main()
