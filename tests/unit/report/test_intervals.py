"""Charts of intervals: dots and bars where they belong."""

import re
import xml.etree.ElementTree as ET

from everlong.report.charts import linear_axis
from everlong.report.intervals import LEFT, RIGHT, WIDTH, Row, interval_chart

X = linear_axis("bits <per> byte", [0.0, 4.0])


def drawn(*rows: Row) -> ET.Element:
    return ET.fromstring(interval_chart(rows, x=X, title="a & b"))


def test_dots_and_bars_lie_where_their_values_are() -> None:
    chart = drawn(Row(name="a<b", style="s", values=[0.0, 4.0, 2.0], low=1.0, high=3.0))
    ends = (LEFT, WIDTH - RIGHT)
    middle = sum(ends) / 2
    assert [float(dot.attrib["cx"]) for dot in chart.iter("circle")] == [*ends, middle]
    (bar,) = chart.iter("path")
    left, right = (float(x) for x in re.findall(r"[ML]([\d.]+)", bar.attrib["d"]))
    assert (left + right) / 2 == middle
    assert right - left == (ends[1] - ends[0]) / 2
    assert bar.find("title").text == "a<b: 1.000 – 3.000"  # pyright: ignore[reportOptionalMemberAccess]


def test_a_bar_ends_where_the_axis_ends() -> None:
    (bar,) = drawn(Row(name="a", style="s", values=[2.0], low=-90.0, high=90.0)).iter("path")
    assert [float(x) for x in re.findall(r"[ML]([\d.]+)", bar.attrib["d"])] == [LEFT, WIDTH - RIGHT]


def test_rows_lie_below_each_other_and_no_interval_has_no_bar() -> None:
    chart = drawn(Row(name="a", style="s", values=[1.0]), Row(name="b", style="t", values=[2.0]))
    first, second = (float(dot.attrib["cy"]) for dot in chart.iter("circle"))
    assert first < second < float(chart.attrib["viewBox"].split()[3])
    assert not list(chart.iter("path"))
    assert [dot.attrib["class"] for dot in chart.iter("circle")] == ["mark s", "mark t"]
