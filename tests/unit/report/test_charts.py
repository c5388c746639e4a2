"""Charts: points where they belong, axes that cover them with few round ticks."""

import xml.etree.ElementTree as ET

import pytest

from everlong.report.charts import Series, decade_axis, doubling_axis, line_chart, linear_axis, span_axis


def test_a_chart_places_its_points() -> None:
    x, y = doubling_axis("x", low=1, high=256), linear_axis("y", [0.0, 4.0])
    chart = ET.fromstring(line_chart([Series(name="a<b", style="s", points=[(1, 0), (256, 4)])], x=x, y=y, title="t"))
    marks = [(float(mark.attrib["cx"]), float(mark.attrib["cy"])) for mark in chart.iter("circle")]
    assert marks[0][0] < marks[1][0]
    assert marks[0][1] > marks[1][1]
    assert [text for _, text in x.ticks] == ["1", "4", "16", "64", "256"]


@pytest.mark.parametrize("values", [[2.0, 2.0], [0.001, 0.0012], [2.31, 2.94, 2.5], [-3.0, 1200.0]])
def test_an_axis_covers_its_values_with_few_round_ticks(values: list[float]) -> None:
    axis = linear_axis("", values)
    assert axis.low <= min(values)
    assert axis.high >= max(values)
    assert 3 <= len(axis.ticks) <= 8
    assert len({text for _, text in axis.ticks}) == len(axis.ticks)


@pytest.mark.parametrize("high", [0.003, 0.99, 4.0, 4.2, 312.0])
def test_a_span_ends_where_its_values_end(high: float) -> None:
    axis = span_axis("", high)
    assert (axis.low, axis.high) == (0, high)
    assert axis.ticks[-1][0] <= high * (1 + 1e-6)
    assert 4 <= len(axis.ticks) <= 7


@pytest.mark.parametrize("values", [[3.0, 41.0], [1.0, 1.0], [0.02, 7000.0], [5.0, 5.0001], [10.0, 100.0], [1e-9, 1e9]])
def test_an_axis_of_decades_covers_its_values(values: list[float]) -> None:
    axis = decade_axis("", values)
    assert axis.low <= min(values) <= max(values) <= axis.high
    assert axis.low < axis.high
    assert axis.place(axis.low) == 0
    assert axis.place(axis.high) == pytest.approx(1)
    # No tick could be taken away at either end.
    ticks = [value for value, _ in axis.ticks]
    assert ticks[1] > min(values)
    assert ticks[-2] < max(values) or len(ticks) == 2
    assert len(ticks) <= 12
