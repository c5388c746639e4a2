"""What `probe_text` found, as a page or as a picture of two charts."""

from html import escape
from pathlib import Path

from everlong.evaluate.text_probe import TextProbe
from everlong.report.charts import HEIGHT, WIDTH, Series, doubling_axis, line_chart, linear_axis
from everlong.report.page import render
from everlong.storage import write_whole

READINGS = {"carried": "own memory", "reset": "memory reset", "other": "another document's memory"}
ROOM = "everlong.evaluate"

STYLE = """
svg { font-family: system-ui, sans-serif; background: #ffffff; }
text { font-size: 13px; fill: #5d6470; } .label { fill: #1c1f24; } .grid { stroke: #e4e1da; }
.line { fill: none; } .mark { fill: #ffffff; } .line, .mark { stroke-width: 2.5; }
.carried { stroke: #1f5fd0; } .reset { stroke: #b4620a; } .other { stroke: #8a3fa8; }
.line.reset { stroke-dasharray: 8 6; } .line.other { stroke-dasharray: 2 6; }
"""
"""Without variables, which viewers of pictures do not know."""


def write_page(path: Path, found: TextProbe, heading: str) -> None:
    """Write a page with tables, or the two charts alone, by the name's end.

    Raises:
        RunError: the disk is full, or the place may not be written to.
    """
    charts = context_chart(found), position_chart(found)
    if path.suffix.lower() == ".html":
        content = {
            "heading": heading,
            "contexts": charts[0],
            "positions": charts[1],
            "readings": READINGS,
            "found": found.to_dict(),
        }
        write_whole(path, render(ROOM, "text_probe.html.jinja", content))
        return
    placed = [chart.replace("<svg ", f'<svg y="{HEIGHT * i}" height="{HEIGHT}" ', 1) for i, chart in enumerate(charts)]
    size = f'viewBox="0 0 {WIDTH} {HEIGHT * len(charts)}"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', f"<title>{escape(heading)}</title>"]
    write_whole(path, "\n".join([*parts, f"<style>{STYLE}</style>", *placed, "</svg>\n"]).encode())


def context_chart(found: TextProbe) -> str:
    """Bits per byte of the same tokens against how much context they were given."""
    points = [(row.context, row.per_byte) for row in found.by_context if row.context is not None]
    return line_chart(
        [Series(name="context", style="carried", points=points)],
        x=doubling_axis("tokens of context", low=1, high=max(2, int(points[-1][0]))),
        y=linear_axis("bits per byte", [bits for _, bits in points]),
        title="Bits per byte by the amount of context",
    )


def position_chart(found: TextProbe) -> str:
    """Bits per byte against the position in the document, under each reading."""
    rows = found.evaluation.by_position
    lines = {
        reading: [
            # The middle of a bucket, on a scale of ratios.
            ((row.first * (row.last + 1)) ** 0.5, bits)
            for row in rows
            if (bits := row.bits.per_byte(reading)) is not None
        ]
        for reading in ("other", "reset", "carried")
    }
    return line_chart(
        [Series(name=READINGS[reading], style=reading, points=points) for reading, points in lines.items()],
        x=doubling_axis("tokens of the document before", low=rows[0].first, high=rows[-1].last + 1),
        y=linear_axis("bits per byte", [bits for points in lines.values() for _, bits in points]),
        title="Bits per byte by position in the document, with and without memory",
    )
