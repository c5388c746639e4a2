"""Accuracy against distance, drawn: which points, on which axis, and in which file."""

import importlib.util
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from everlong.errors import ConfigError
from everlong.evaluate.recall import Recall, Right
from everlong.evaluate.recall_picture import recall_chart, write_recall
from everlong.report.page import require_chart

NEAR, FAR = Right(4, 4, 4, 4), Right(8, 6, 0, 2)


def found(mark: str = "distance") -> Recall:
    return Recall(
        sizes={"length": 64},
        n_sequences=4,
        chunk=16,
        chance=0.1,
        mark=mark,
        by_mark={8: NEAR, 16: FAR, 64: FAR},
        across_by_mark={16: FAR, 64: FAR} if mark == "distance" else None,
    )


def test_what_is_drawn_is_what_the_readings_are_compared_by() -> None:
    across, every = recall_chart(found()), recall_chart(found("depth"))
    assert across.count("<title>its own memory: 0.750</title>") == 2
    assert across.count("<title>no memory: 0.000</title>") == 2
    assert across.count("<title>another sequence's memory: 0.250</title>") in (0, 2)
    assert "1.000" not in across
    assert every.count("<title>its own memory: 1.000</title>") == 1
    assert ">distance, tokens</text>" in across.replace("\n", "")
    assert ">depth</text>" in every.replace("\n", "")


def test_a_single_distance_can_be_drawn() -> None:
    alone = replace(found(), across_by_mark={16: FAR})
    assert recall_chart(alone).count("<circle") == 3
    nothing = replace(found(), across_by_mark={})
    assert "<circle" not in recall_chart(nothing)


def test_a_picture_holds_a_chart_for_each_size(tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    write_recall(path, [found(), found()], heading="gru, recall", about="1 KiB")
    root = ET.fromstring(path.read_text())
    assert [chart.get("y") for chart in root.iter("{http://www.w3.org/2000/svg}svg")] == [None, "44", "428"]
    assert [text for text in root.itertext() if text.strip() == "length 64"] == ["length 64"] * 2


def not_found(name: str) -> None:
    """Says of every package that it is not installed."""
    del name


def test_pages_need_jinja_and_pictures_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", not_found)
    require_chart(Path("a.SVG"))
    with pytest.raises(ConfigError, match="needs jinja2"):
        require_chart(Path("a.html"))
    with pytest.raises(
        ConfigError, match=r"a\.gif is no chart that can be drawn\. Give a name that ends in \.svg or \.ht"
    ):
        require_chart(Path("a.gif"))
