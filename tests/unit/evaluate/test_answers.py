"""Exact match and F1 by hand, in English and in Chinese."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everlong.evaluate.answers import agreement, cmrc_exact, cmrc_f1, longest_run, squad_exact, squad_f1
from tests.reference.spans import longest_common_piece


@pytest.mark.parametrize(
    ("told", "answer", "exact", "f1"),
    [
        ("The Denver Broncos!", "denver  broncos", 1, 1),
        ("Broncos of Denver", "Denver Broncos", 0, 2 * 2 / (3 + 2)),  # the same words, and one more
        ("a a cat cat", "cat", 0, 2 * 1 / (2 + 1)),  # a word counts as often as both have it
        ("theatre", "the atre", 0, 0),  # an article is a word of its own
        ("U.S.-led", "usled", 1, 1),
        ("Oslo", "Rome", 0, 0),
        ("the", "a", 1, 1),  # nothing is left of either
        ("the", "Rome", 0, 0),
    ],
)
def test_squad(told: str, answer: str, exact: float, f1: float) -> None:
    assert squad_exact(told, answer) == exact
    assert squad_f1(told, answer) == pytest.approx(f1)


@pytest.mark.parametrize(
    ("told", "answer", "exact", "f1"),
    [
        ("《战国无双3》。", "战国无双3", 1, 1),
        ("光荣公司", "光荣", 0, 2 * 2 / (4 + 2)),
        ("北京的大学", "北京大学", 0, 2 * 2 / (5 + 4)),  # the longest run, not all that both have
        ("1998年Sony公司", "sony公司", 0, 2 * 3 / (5 + 3)),  # 1998 年 sony 公 司
        ("20张", "30张", 0, 2 * 1 / (2 + 2)),
        ("东京", "北", 0, 0),
        ("ω-Force", "ωforce", 1, 1),
    ],
)
def test_cmrc(told: str, answer: str, exact: float, f1: float) -> None:
    assert cmrc_exact(told, answer) == exact
    assert cmrc_f1(told, answer) == pytest.approx(f1)


@given(one=st.lists(st.sampled_from("abc"), max_size=9), other=st.lists(st.sampled_from("abc"), max_size=9))
def test_the_longest_run_slow_twin(one: list[str], other: list[str]) -> None:
    assert longest_run(one, other) == longest_common_piece(one, other)


def test_the_best_of_several_answers_counts_and_none_is_an_answer_too() -> None:
    told = ["Rome", "in Oslo", "", "", "Kiel"]
    answers = [["Oslo", "Rome"], ["Oslo", "Norway"], [], ["Lima"], []]
    found = agreement(told, answers)
    assert (found.rules, found.n_questions, found.n_answerable) == ("squad", 5, 3)
    assert found.exact == pytest.approx(2 / 5)
    assert found.f1 == pytest.approx((1 + 2 / 3 + 1 + 0 + 0) / 5)
    assert found.answerable_f1 == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert found.unanswerable_right == pytest.approx(1 / 2)


def test_chinese_answers_are_compared_by_the_rules_of_cmrc() -> None:
    found = agreement(["光荣公司", "3张"], [["光荣"], ["三张", "3 张"]])
    assert (found.rules, found.unanswerable_right) == ("cmrc", None)
    assert found.exact == 0
    assert found.f1 == pytest.approx((2 / 3 + 1) / 2)
