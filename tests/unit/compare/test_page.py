"""The page of a comparison: what stands on it, and how a real browser shows it."""

import csv
import html
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from everlong.compare.figures import Figures, RunFigures
from everlong.compare.page import content, style_of, write_page
from everlong.compare.tables import COLUMNS, csv_table, json_text
from everlong.compare.words import WORDS, Language
from everlong.data.synthetic import RULES, TokenRules
from tests.browser import contrast, look, needs_browser
from tests.comparisons import PROBE, figures

LOST = RunFigures(model="lstm", seed=1, failure="the loss is not a finite number at step 3")
THREE = {"gru": [2.0, 2.1, 2.2], "lstm": [2.4, 2.5, 2.6], "transformer": [3.0, 3.1, 3.2]}
ACCURACIES = {"gru": [0.2, 0.3, 0.4], "lstm": [0.9, 0.9, 0.8], "transformer": [0.5, 0.5, 0.6]}


@pytest.fixture(scope="module")
def found() -> Figures:
    return figures(THREE, failed=[LOST], accuracies=ACCURACIES)


def page(given: Figures, language: str = "en") -> str:
    return write_page(given, language).decode()  # pyright: ignore[reportArgumentType]


def test_the_page_is_one_file_that_asks_for_nothing(found: Figures) -> None:
    whole = page(found)
    assert not re.search(r"(src|href)\s*=|url\(|@import|<script|<link", whole)
    for words in ("prefers-color-scheme: dark", "viewport", 'lang="en"'):
        assert words in whole
    # Quality, places, three of learning, cost against length, a probe; each with a name for those who cannot see it.
    charts = [ET.fromstring(chart) for chart in re.findall(r"<svg.*?</svg>", whole, flags=re.S)]
    assert [chart.attrib["aria-label"] for chart in charts] == [
        WORDS["en"][name].format(name=PROBE, mark="distance in tokens")
        for name in (
            "quality-title",
            "places-title",
            "by-tokens",
            "by-time",
            "by-operations",
            "cost-title",
            "probe-title",
        )
    ]
    assert all(chart.attrib["role"] == "img" for chart in charts)
    # Every picture has a table that says the same, and every point a tooltip.
    assert whole.count("<details>") == len(charts) - 2  # the learning curves have one
    points = [mark for chart in charts for mark in chart.iter("circle")]
    assert len(points) > 20
    assert all(mark.find("title") is not None for mark in points)


def test_the_page_shows_figures_intervals_and_failures(found: Figures) -> None:
    whole = html.unescape(page(found))
    assert "lstm failed with seed 1: the loss is not a finite number at step 3" in whole
    assert "failed: the loss is not a finite number at step 3" in whole
    assert "2.100" in whole
    # 2.1 ± 4.303 * 0.1 / √3
    assert "1.852 – 2.348" in whole
    assert "2 min each, with seeds 0, 1, 2" in whole
    assert "gru, lstm and transformer learned the same 9,500 tokens of text (byte)" in whole


def test_names_are_no_markup(found: Figures) -> None:
    named = found.replace(machine="<b>&", data={**found.data, "tokenizer": "<script>"})
    assert "<script>" not in page(named)
    assert "&lt;b&gt;&amp;" in page(named)


def test_one_seed_has_no_interval() -> None:
    whole = page(figures({"gru": [2.0], "lstm": [3.0]}))
    assert 'class="span' not in whole
    assert "one seed cannot decide" in whole


def test_a_page_without_any_finished_run() -> None:
    lost = [RunFigures(model=name, seed=0, failure="it broke") for name in ("gru", "lstm")]
    whole = page(figures({"gru": [2.0], "lstm": [3.0]}, failed=lost).replace(models=()))
    assert "<svg" not in whole
    assert whole.count("failed: it broke") == 2


def test_a_probe_that_asks_at_one_distance_has_a_chart() -> None:
    given = figures({"gru": [2.0], "lstm": [3.0]}, accuracies={"gru": [0.5], "lstm": [0.25]})
    runs = [run.replace(probed=run.probed and run.probed.replace(by_mark={64: 0.5})) for run in given.runs]
    (chart,) = re.findall(rf"<svg[^>]*Accuracy of {PROBE} by .*?</svg>", page(given.replace(runs=runs)), re.S)
    assert chart.count("<circle") == 2


def test_what_tells_the_answers_of_a_probe_apart_is_named(found: Figures) -> None:
    probed = tuple(run.replace(probe=run.probe and "passkey") for run in found.runs)
    whole = page(found.replace(terms={**found.terms, "probes": {"passkey": {}}}, runs=probed))
    assert whole.count("depth in percent of the text") == 4  # said, named, beside the axis and above the table
    assert "distance in tokens" not in whole


@pytest.mark.parametrize("language", WORDS)
def test_every_probe_has_words_for_its_mark(language: Language) -> None:
    probes = [rules for rules in RULES.values() if issubclass(rules, TokenRules)]
    assert {f"mark-{rules.mark}" for rules in probes} <= set(WORDS[language])


def test_more_models_than_colours_are_told_apart() -> None:
    names = ["gru", "lstm", "transformer", "transformer-xl", "compressive-transformer", "longformer", "ntm", "dnc"]
    given = figures({name: [2.0] for name in [*names, "mann"]})
    styles = [style_of(given, name) for name in given.names]
    assert len(set(styles)) == 9
    assert styles[-1] == "tone-0 dotted"
    assert dict(content(given, "en")["legend"])["mann"] == styles[-1]


def test_programs_get_a_row_a_run_and_everything(found: Figures) -> None:
    rows = list(csv.DictReader(csv_table(found).splitlines()))
    assert [(row["model"], row["seed"]) for row in rows] == [
        (run.model, str(run.seed)) for run in found.runs if not run.probe
    ]
    assert list(rows[0]) == [*COLUMNS, f"accuracy_{PROBE}"]
    assert rows[0] | {"bits_per_byte": "2.0", "memory_bytes": "64", f"accuracy_{PROBE}": "0.2"} == rows[0]
    (lost,) = [row for row in rows if row["failure"]]
    assert (lost["model"], lost["bits_per_byte"]) == ("lstm", "")
    everything = json.loads(json_text(found))
    findings = everything.pop("findings")
    assert Figures.parse(everything) == found
    assert findings[0]["outcome"] == "ahead"
    assert findings[0]["best"] == ["gru"]
    one = json.loads(json_text(figures({"gru": [2.0], "lstm": [3.0]})))["findings"][0]["values"]["gru"]
    assert one == {"mean": 2.0, "low": None, "high": None}


@needs_browser
@pytest.mark.parametrize(("width", "language"), [(375, "en"), (375, "zh"), (1200, "en")])
def test_a_browser_shows_it_without_scrolling_the_page(
    found: Figures, tmp_path: Path, width: int, language: str
) -> None:
    seen = look(page(found, language), tmp_path, width=width)
    assert seen["requests"] == []
    assert seen["width"] == width
    assert seen["scroll"] <= width
    assert len(seen["charts"]) == 7
    for chart in seen["charts"]:
        assert min(chart["width"], chart["height"]) > 100, chart
        assert chart["marks"] >= 3, chart
    words = WORDS["zh" if language == "zh" else "en"]
    assert seen["language"] == words["lang"]
    for name in ("title", "verdict", "places", "terms"):
        assert words[name] in seen["text"]


@needs_browser
def test_a_browser_shows_light_and_dark_with_contrast(found: Figures, tmp_path: Path) -> None:
    light = look(page(found), tmp_path / "light")
    dark = look(page(found), tmp_path / "dark", dark=True)
    for seen in (light, dark):
        assert contrast(seen["ink"], seen["paper"]) >= 7
        assert contrast(seen["soft"], seen["card"]) >= 4.5
        assert len(set(seen["tones"])) == 3
        assert min(contrast(tone, seen["card"]) for tone in seen["tones"]) >= 3
    for name in ("ink", "paper", "card", "soft"):
        assert light[name] != dark[name], name
    assert set(light["tones"]).isdisjoint(dark["tones"])


@needs_browser
def test_the_browser_would_see_a_page_that_is_too_wide_or_asks_for_something(tmp_path: Path) -> None:
    wide = '<p class="card"><b class="rule" style="display:block;width:900px">x</b></p><img src="nothing.png">'
    wide += '<link rel="stylesheet" href="http://127.0.0.1:1/far.css">'
    seen = look(wide, tmp_path, width=375)
    assert seen["scroll"] >= 900
    assert sorted(name.rpartition("/")[2] for name in seen["requests"]) == ["far.css", "nothing.png"]
