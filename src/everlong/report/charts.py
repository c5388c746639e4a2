"""Line charts as SVG text. Colours are classes, so that a page decides them for light and dark."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import final

WIDTH, HEIGHT = 680, 340
LEFT, RIGHT, TOP, BOTTOM = 52, 20, 34, 46

Point = tuple[float, float]


@final
@dataclass(frozen=True, kw_only=True)
class Series:
    """A line: its name, the class that colours it, its points, and whether they are marked."""

    name: str
    style: str
    points: Sequence[Point]
    marked: bool = True


@final
@dataclass(frozen=True, kw_only=True)
class Axis:
    """What an axis shows: label, range, and ticks with their texts. Positions are linear or logarithmic."""

    label: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Where a value lies, from 0 to 1."""
        if self.logarithmic:
            return (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (value - self.low) / (self.high - self.low)


def linear_axis(label: str, values: Sequence[float]) -> Axis:
    """An axis over all values, from a round tick to a round tick.

    >>> [text for _, text in linear_axis("", [0.1, 0.9]).ticks]
    ['0', '0.2', '0.4', '0.6', '0.8', '1']
    """
    low, high = min(values), max(values)
    if low == high:
        low, high = low - 0.5, high + 0.5
    step = _round_step(high - low)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = _ticks(step, first, last)
    return Axis(label=label, low=ticks[0][0], high=ticks[-1][0], ticks=ticks)


def span_axis(label: str, high: float) -> Axis:
    """An axis from 0 that ends where the values end, wherever its last tick is.

    >>> [text for _, text in span_axis("", 4.2).ticks]
    ['0', '1', '2', '3', '4']
    """
    step = _round_step(high)
    return Axis(label=label, low=0, high=high, ticks=_ticks(step, 0, math.floor(high / step + 1e-9)))


def doubling_axis(label: str, *, low: int, high: int) -> Axis:
    """A logarithmic axis with a tick at every fourfold, written like 16, 256, 4k."""
    ticks: list[tuple[float, str]] = []
    value = low
    while value <= high:
        ticks.append((value, f"{value // 1024}k" if value >= 1024 else str(value)))
        value *= 4
    return Axis(label=label, low=low, high=high, ticks=ticks, logarithmic=True)


def decade_axis(label: str, values: Sequence[float]) -> Axis:
    """A logarithmic axis over all values, which are above 0.

    Ticks are at 1, 2 and 5 times powers of ten; where values are far apart, at some powers of ten.

    >>> [text for _, text in decade_axis("", [3, 41]).ticks]
    ['2', '5', '10', '20', '50']
    >>> [text for _, text in decade_axis("", [0.002, 41]).ticks]
    ['0.001', '0.01', '0.1', '1', '10', '100']
    """
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    nice = (1, 2, 5) if last - first <= 3 else (1,)
    steps = [float(f"{times}e{power}") for power in range(first, last + 2) for times in nice]
    low = max(value for value in steps if value <= min(values))
    high = min(value for value in steps if value >= max(values) and value > low)
    within = [value for value in steps if low <= value <= high]
    ticks = [(value, f"{value:.10g}") for value in within[:: -(-len(within) // 12)]]
    return Axis(label=label, low=low, high=high, ticks=ticks, logarithmic=True)


def line_chart(series: Sequence[Series], *, x: Axis, y: Axis, title: str) -> str:
    """An SVG picture of lines over two axes, each point with its values as a tooltip."""
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
        *_horizontal_lines(y),
        *_horizontal_ticks(x),
        f'<text class="label" x="{LEFT + _width() / 2:.0f}" y="{HEIGHT - 6}" text-anchor="middle">',
        f"{escape(x.label)}</text>",
        f'<text class="label" x="6" y="14">{escape(y.label)}</text>',
    ]
    for line in series:
        parts += _line(line, x=x, y=y)
    return "\n".join([*parts, "</svg>"])


def _round_step(span: float) -> float:
    """A round distance between four or five ticks."""
    power = 10 ** math.floor(math.log10(span / 4))
    return next(power * nice for nice in (1, 2, 2.5, 5, 10) if power * nice >= span / 4 * 0.8)


def _ticks(step: float, first: int, last: int) -> list[tuple[float, str]]:
    return [(step * n, f"{step * n:.10g}") for n in range(first, last + 1)]


def _line(series: Series, *, x: Axis, y: Axis) -> list[str]:
    places = [_place(point, x=x, y=y) for point in series.points]
    if not places:
        return []
    path = "M" + " L".join(f"{left:.1f} {top:.1f}" for left, top in places)
    parts = [f'<path class="line {series.style}" d="{path}"/>']
    if series.marked:
        for (left, top), (_, value) in zip(places, series.points, strict=True):
            parts.append(f'<circle class="mark {series.style}" cx="{left:.1f}" cy="{top:.1f}" r="4">')
            parts.append(f"<title>{escape(series.name)}: {value:.3f}</title></circle>")
    return parts


def _horizontal_lines(y: Axis) -> list[str]:
    parts: list[str] = []
    for value, text in y.ticks:
        _, top = _place((0, value), x=_unit(), y=y)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{top:.1f}" y2="{top:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{top + 4:.1f}" text-anchor="end">{escape(text)}</text>')
    return parts


def _horizontal_ticks(x: Axis) -> list[str]:
    parts: list[str] = []
    for value, text in x.ticks:
        left, _ = _place((value, 0), x=x, y=_unit())
        parts.append(
            f'<text class="tick" x="{left:.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{escape(text)}</text>'
        )
    return parts


def _place(point: Point, *, x: Axis, y: Axis) -> Point:
    return LEFT + x.place(point[0]) * _width(), TOP + (1 - y.place(point[1])) * (HEIGHT - TOP - BOTTOM)


def _width() -> int:
    return WIDTH - LEFT - RIGHT


def _unit() -> Axis:
    return Axis(label="", low=0, high=1, ticks=())
