"""Accuracy against distance as a picture: SVG, or a page that needs no other file."""

from collections.abc import Sequence
from pathlib import Path

from everlong.evaluate.bits import READINGS
from everlong.evaluate.recall import Recall
from everlong.report.charts import HEIGHT, WIDTH, Axis, Series, doubling_axis, line_chart, linear_axis
from everlong.report.page import render
from everlong.storage import write_whole

NAMES = {"carried": "its own memory", "reset": "no memory", "other": "another sequence's memory"}
COLOURS = {"carried": "#1f5fd0", "reset": "#b4620a", "other": "#8a3fa8"}
STYLE = "\n".join(
    (
        "text { font: 13px system-ui, sans-serif; fill: #5d6470; } .head { font-weight: 600; fill: #1c1f24; }",
        ".grid { stroke: #e4e1da; } .line { fill: none; } .mark { fill: #ffffff; } .line, .mark { stroke-width: 2.5; }",
        ".line.reset { stroke-dasharray: 8 6; } .line.other { stroke-dasharray: 2 6; }",
        # Viewers of pictures know no variables of CSS.
        *(
            f".{name} {{ stroke: {tone}; }} tspan.{name} {{ fill: {tone}; stroke: none; }}"
            for name, tone in COLOURS.items()
        ),
    )
)
HEAD = 44
"""Height of the words above a chart."""


def write_recall(path: Path, found: Sequence[Recall], *, heading: str, about: str) -> None:
    """Write the charts of all sizes, by the name's end.

    Raises:
        RunError: the disk is full, or the place may not be written to.
    """
    if path.suffix.lower() == ".html":
        rows = [{"label": one.label, "chunk": one.chunk, "chart": recall_chart(one)} for one in found]
        content = {"heading": heading, "about": about, "readings": NAMES, "mark": found[0].mark, "rows": rows}
        write_whole(path, render("everlong.evaluate", "recall.html.jinja", content))
    else:
        write_whole(path, _picture(found).encode())


def recall_chart(found: Recall) -> str:
    """Accuracy against distance, a line for each reading, of the answers that the readings are compared by."""
    lines = {
        reading: [
            (float(mark), part)
            for mark, right in sorted(found.told.items())
            if (part := right.accuracy(reading)) is not None
        ]
        for reading in reversed(READINGS)
    }
    marks = [int(mark) for mark, _ in lines["carried"]] or [1]
    distances = found.across_by_mark is not None
    return line_chart(
        [Series(name=NAMES[reading], style=reading, points=points) for reading, points in lines.items()],
        x=doubling_axis(f"{found.mark}, tokens", low=marks[0], high=max(marks[-1], 2 * marks[0]))
        if distances
        else linear_axis(found.mark, marks),
        y=Axis(label="right answers", low=0, high=1, ticks=[(n / 4, f"{25 * n}%") for n in range(5)]),
        title=f"Right answers by {found.mark}, {found.label}",
    )


def _picture(found: Sequence[Recall]) -> str:
    tall = HEAD + HEIGHT
    names = "".join(f'<tspan class="{reading}" dx="14">{name}</tspan>' for reading, name in NAMES.items())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{tall * len(found)}" '
        f'viewBox="0 0 {WIDTH} {tall * len(found)}">',
        f"<style>{STYLE}</style>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    for n, one in enumerate(found):
        where = f'x="0" y="{tall * n + HEAD}" width="{WIDTH}" height="{HEIGHT}"'
        parts.append(f'<text class="head" x="6" y="{tall * n + 28}">{one.label}{names}</text>')
        parts.append(recall_chart(one).replace("<svg", f"<svg {where}", 1))
    return "\n".join([*parts, "</svg>"])
