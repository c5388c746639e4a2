"""A chart of intervals: a row for each name, a dot for each value, a bar for where the mean lies."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import final

from everlong.report.charts import Axis

WIDTH, LEFT, RIGHT, ROW, TOP, BOTTOM = 680, 190, 24, 38, 10, 46


@final
@dataclass(frozen=True, kw_only=True)
class Row:
    """A name, the class that colours it, its values, and the interval of their mean where there is one."""

    name: str
    style: str
    values: Sequence[float]
    low: float | None = None
    high: float | None = None


def interval_chart(rows: Sequence[Row], *, x: Axis, title: str) -> str:
    """An SVG picture of values and intervals over one axis. What of an interval lies beyond the axis is cut off."""
    bottom = TOP + ROW * len(rows)
    height = bottom + BOTTOM

    def at(value: float) -> float:
        return LEFT + min(1.0, max(0.0, x.place(value))) * (WIDTH - LEFT - RIGHT)

    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">']
    for value, text in x.ticks:
        parts.append(f'<line class="grid" x1="{at(value):.1f}" x2="{at(value):.1f}" y1="{TOP}" y2="{bottom}"/>')
        parts.append(
            f'<text class="tick" x="{at(value):.1f}" y="{bottom + 18}" text-anchor="middle">{escape(text)}</text>'
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="label" x="{middle:.0f}" y="{height - 6}" text-anchor="middle">{escape(x.label)}</text>')
    for place, row in enumerate(rows):
        y = TOP + ROW * (place + 0.5)
        parts.append(f'<text class="label" x="{LEFT - 14}" y="{y + 4:.1f}" text-anchor="end">{escape(row.name)}</text>')
        if row.low is not None and row.high is not None:
            parts.append(
                f'<path class="span {row.style}" d="M{at(row.low):.1f} {y:.1f} L{at(row.high):.1f} {y:.1f}">'
                f"<title>{escape(row.name)}: {row.low:.3f} – {row.high:.3f}</title></path>"
            )
        for value in row.values:
            parts.append(f'<circle class="mark {row.style}" cx="{at(value):.1f}" cy="{y:.1f}" r="5">')
            parts.append(f"<title>{escape(row.name)}: {value:.3f}</title></circle>")
    return "\n".join([*parts, "</svg>"])
