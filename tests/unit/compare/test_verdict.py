"""What figures allow to say: exactly, in every case."""

import math

import pytest

from everlong.compare.figures import RunFigures
from everlong.compare.verdict import conclude, far_position, helped, interval, judge
from tests.comparisons import PROBE, figures, run


def test_an_interval_is_students() -> None:
    # Of 1, 2, 3: mean 2, deviation 1, t(2) = 4.303.
    found = interval([1.0, 2.0, 3.0])
    assert found.mean == 2
    assert found.high - 2 == pytest.approx(4.303 / math.sqrt(3))
    assert 2 - found.low == pytest.approx(4.303 / math.sqrt(3))
    assert not interval([1.0]).known
    assert interval([7.0], exact=True).low == interval([7.0], exact=True).high == 7
    # More than 11 values are treated as 11: the interval is no narrower than it may be.
    assert interval([0.0, 1.0] * 10).high - 0.5 > 2.0 * math.sqrt(0.25 * 20 / 19 / 20)


def test_a_clear_win() -> None:
    found = judge("quality", {"a": [2.0, 2.01, 2.02], "b": [3.0, 3.01, 3.02], "c": [4.0, 4.01, 4.02]})
    assert (found.outcome, found.best) == ("ahead", ("a",))
    assert judge("reading", {"a": [2.0, 2.1], "b": [9.0, 9.1]}, most=True).best == ("b",)


def test_intervals_that_overlap_are_a_tie_however_far_the_means() -> None:
    found = judge("quality", {"a": [2.0, 2.4, 2.2], "b": [2.5, 2.9, 2.7], "c": [9.0, 9.0, 9.01]})
    assert (found.outcome, found.best) == ("tie", ("a", "b"))
    # Two seeds make wide intervals: 12.706 * 0.0707 / 1.414 = 0.64 to each side.
    assert judge("quality", {"a": [2.0, 2.1], "b": [3.0, 3.1]}).outcome == "tie"
    assert judge("quality", {"a": [2.0, 2.1], "b": [3.4, 3.5]}).outcome == "ahead"


def test_a_tie_is_with_the_best_not_a_chain_of_neighbours() -> None:
    found = judge("quality", {"a": [1.0, 1.1, 1.2], "b": [1.4, 1.5, 1.6], "c": [1.8, 1.9, 2.0]})
    assert found.best == ("a", "b")


def test_one_seed_decides_nothing_but_bytes() -> None:
    found = judge("quality", {"a": [3.0], "b": [2.0]})
    assert (found.outcome, found.best) == ("one-seed", ("b",))
    assert judge("quality", {"a": [3.0, 3.1], "b": [2.0]}).outcome == "one-seed"
    assert judge("bytes", {"a": [10], "b": [20]}, exact=True).outcome == "ahead"
    assert judge("bytes", {"a": [10], "b": [10]}, exact=True).best == ("a", "b")


def test_one_model_has_nothing_to_be_compared_with() -> None:
    assert judge("quality", {"a": [3.0, 3.1], "b": []}).outcome == "nothing"
    assert helped({"a": []}).outcome == "nothing"


def test_memory_helps_where_its_interval_lies_above_zero() -> None:
    found = helped({"a": [0.1, 0.11, 0.12], "b": [-0.1, 0.1, 0.3], "c": [-0.2, -0.21, -0.22]})
    assert (found.outcome, found.best) == ("helps", ("a",))
    assert helped({"a": [0.1]}).outcome == "one-seed"


def test_a_model_of_which_a_run_failed_is_left_out() -> None:
    lost = RunFigures(model="gru", seed=1, failure="the loss is not a finite number at step 3")
    found = conclude(figures({"gru": [1.0, 1.0], "lstm": [2.0, 2.1], "mann": [3.4, 3.5]}, failed=[lost]))
    for finding in found:
        assert "gru" not in finding.values
    assert (found[0].topic, found[0].outcome, found[0].best) == ("quality", "ahead", ("lstm",))


def test_a_failed_probe_leaves_its_model_out_too() -> None:
    lost = RunFigures(model="gru", seed=0, probe=PROBE, failure="the loss is not a finite number at step 3")
    given = figures(
        {"gru": [1.0, 1.0], "lstm": [2.0, 2.1]}, failed=[lost], accuracies={"gru": [0.5, 0.5], "lstm": [0.5, 0.6]}
    )
    assert {finding.outcome for finding in conclude(given)} == {"nothing", "helps"}


def test_every_topic_is_judged_and_probes_by_accuracy() -> None:
    given = figures(
        {"gru": [2.0, 2.0, 2.0], "lstm": [3.0, 3.0, 3.0]},
        memory_bytes={"gru": 99, "lstm": 7},
        accuracies={"gru": [0.2, 0.2, 0.2], "lstm": [0.9, 0.9, 0.9]},
    )
    found = {finding.topic: finding for finding in conclude(given)}
    assert list(found) == ["quality", "far", "memory", "bytes", "training", "reading", "decoding", "probe"]
    assert {topic: one.best for topic, one in found.items() if one.outcome == "ahead"} == {
        "quality": ("gru",), "far": ("gru",), "bytes": ("lstm",), "probe": ("lstm",)
    }  # fmt: skip
    assert found["far"].about == "256"
    assert found["probe"].about == PROBE
    assert found["training"].outcome == "tie"


def test_far_is_the_last_tenth_of_the_bytes_and_never_within_a_chunk() -> None:
    given = figures({"gru": [2.0], "lstm": [2.0]})
    assert far_position(given) == 256
    training = {**given.terms["training"], "chunk": 512}
    assert far_position(given.replace(terms={**given.terms, "training": training})) is None
    assert far_position(given.replace(runs=())) is None
    assert run("gru", 0, 2.5).text.beyond(256) == 2.5  # pyright: ignore[reportOptionalMemberAccess]
    assert run("gru", 0, 2.5).text.beyond(4096) is None  # pyright: ignore[reportOptionalMemberAccess]
