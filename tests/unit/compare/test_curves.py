"""Learning curves from the lines of a run."""

import json
from pathlib import Path

import pytest

from everlong.compare.curves import POINTS, read_metrics, speed, thinned


def lines(count: int) -> list[dict[str, float | None]]:
    return [
        {"step": n, "seconds": 2.0 * n, "bits_per_byte": 8.0 / n, "tokens_per_second": 100.0 + n}
        for n in range(1, count + 1)
    ]


def test_a_short_curve_is_kept_whole() -> None:
    found = thinned(lines(3), tokens_each=10, operations_each=100.0)
    assert [one.operations for one in found] == [100, 200, 300]
    assert [(one.tokens, one.seconds, one.bits) for one in found] == [(10, 2, 8), (20, 4, 4), (30, 6, 8 / 3)]


def test_a_long_curve_is_thinned_to_means() -> None:
    found = thinned(lines(240), tokens_each=1, operations_each=1.0)
    assert len(found) == POINTS
    assert found[0].tokens == (1 + 2 + 3 + 4) / 4
    assert found[0].bits == pytest.approx((8 + 4 + 8 / 3 + 2) / 4)


def test_updates_without_a_finite_figure_are_left_out() -> None:
    given = [*lines(2), {"step": 3, "seconds": 6.0, "bits_per_byte": None, "tokens_per_second": 1.0}]
    assert len(thinned(given, tokens_each=1, operations_each=1.0)) == 2


def test_the_speed_is_the_median(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines(5)))
    assert speed(read_metrics(tmp_path)) == 103.0
