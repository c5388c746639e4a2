"""Shares of n-grams, counted by hand."""

import pytest

from everlong.evaluate.repetition import repetition


def test_a_text_that_says_everything_twice() -> None:
    # Eight words: five 4-grams, the last of which is the first one again.
    found = repetition(["The ship went on. The ship went on!"])
    assert (found.n_words, found.repeated_4) == (8, pytest.approx(1 / 5))
    assert (found.distinct_1, found.distinct_2) == (4 / 8, 4 / 7)


def test_another_text_may_say_the_same() -> None:
    alone, twice = repetition(["one two three four"]), repetition(["one two three four"] * 2)
    assert alone.repeated_4 == twice.repeated_4 == 0
    assert (alone.distinct_1, twice.distinct_1) == (1, 0.5)


def test_chinese_is_counted_by_characters() -> None:
    found = repetition(["话说天下，话说天下。Jim 說"])
    assert (found.n_words, found.repeated_4) == (10, pytest.approx(1 / 7))
    assert found.distinct_1 == pytest.approx(6 / 10)


def test_short_and_missing_texts() -> None:
    assert repetition([]).to_dict() == {"n_words": 0, "repeated_4": None, "distinct_1": None, "distinct_2": None}
    found = repetition(["one", "?!"])
    assert (found.n_words, found.repeated_4, found.distinct_1, found.distinct_2) == (1, None, 1.0, None)
