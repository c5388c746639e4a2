"""What is said of the figures, in both languages."""

import string

import pytest

from everlong.compare.figures import RunFigures
from everlong.compare.verdict import helped, judge
from everlong.compare.words import UNITS, WORDS, language_of, sentence, summary
from tests.comparisons import PROBE, figures

BROKE = "the loss is not a finite number at step 3"


def places(text: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(text)} - {None}


def test_both_languages_say_the_same_things_of_the_same_figures() -> None:
    assert WORDS["en"].keys() == WORDS["zh"].keys()
    assert UNITS["en"].keys() == UNITS["zh"].keys()
    for name, text in WORDS["en"].items():
        assert places(text) == places(WORDS["zh"][name]), name


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"a": [2.0, 2.0], "b": [3.0, 3.0]}, "Take a, 2.000 bits per byte; next is b (3.000 bits per byte)."),
        (
            {"a": [2.0, 2.1], "b": [2.1, 2.2]},
            "A tie between a (2.050 bits per byte), b (2.150 bits per byte): their intervals overlap.",
        ),
        (
            {"a": [2.0, 2.1], "b": [2.1, 2.2], "c": [9.0, 9.0]},
            "A tie between a (2.050 bits per byte), b (2.150 bits per byte): their intervals overlap. "
            "Surely behind a: c (9.000 bits per byte).",
        ),
        (
            {"a": [4.0], "b": [2.0], "c": [3.0]},
            "b had the best figure, 2.000 bits per byte, before c (3.000 bits per byte); but one seed cannot decide.",
        ),
        ({"a": [2.0, 2.1]}, "There is nothing to compare with."),
    ],
)
def test_sentences_on_quality(values: dict[str, list[float]], said: str) -> None:
    assert sentence(judge("quality", values), "en") == said


def test_sentences_on_other_topics() -> None:
    assert (
        sentence(judge("bytes", {"a": [2048], "b": [512]}, exact=True), "en") == "Take b, 512 B; next is a (2.0 KiB)."
    )
    assert sentence(judge("reading", {"a": [9e3], "b": [1e3]}, most=True, exact=True), "zh") == (
        "选 a，9,000 词元/秒；其次是 b（1,000 词元/秒）。"
    )
    assert sentence(judge("probe", {"a": [0.5], "b": [0.9]}, most=True), "en") == (
        "b had the best figure, 90.0%, before a (50.0%); but one seed cannot decide."
    )


@pytest.mark.parametrize(
    ("gains", "said"),
    [
        (
            {"a": [0.1, 0.1], "b": [-0.1, 0.1]},
            "Shown for a (0.100 bits per byte); not shown for b (0.000 bits per byte).",
        ),
        ({"a": [0.1, 0.1]}, "Shown for a (0.100 bits per byte)."),
        ({"a": [-0.1, 0.1]}, "Not shown for any: a (0.000 bits per byte)."),
        ({"a": [0.25]}, "a (0.250 bits per byte); but one seed cannot decide."),
    ],
)
def test_sentences_on_memory(gains: dict[str, list[float]], said: str) -> None:
    assert sentence(helped(gains), "en") == said


def test_the_summary_names_failures_and_asks_for_more_seeds() -> None:
    lost = [RunFigures(model="gru", seed=0, failure=BROKE), RunFigures(model="gru", seed=0, probe=PROBE, failure=BROKE)]
    said = summary(figures({"gru": [1.0], "lstm": [2.0], "mann": [3.0]}, failed=lost), "en")
    assert said[0] == (
        "Quality",
        "lstm had the best figure, 2.000 bits per byte, before mann (3.000 bits per byte); but one seed cannot decide.",
    )
    assert said[-3:] == [
        ("", f"gru failed with seed 0: {BROKE}. It is left out of what is said above."),
        ("", f"gru failed with seed 0 on {PROBE}: {BROKE}. It is left out of what is said above."),
        ("", "With more seeds, for example --seeds 0,1,2, quality can be decided."),
    ]
    assert summary(figures({"gru": [1.0, 1.0], "lstm": [2.0, 2.0]}), "zh")[0] == (
        "质量", "选 gru，每字节 1.000 比特；其次是 lstm（每字节 2.000 比特）。"
    )  # fmt: skip


def test_the_language_is_that_of_most_letters() -> None:
    assert language_of("从前有一位船长。 ahoy 123") == "zh"
    assert language_of("Once upon a time: 从前") == "en"
    assert language_of("... 123") == "en"
