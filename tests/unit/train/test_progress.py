from typing import Any

import pytest

from everlong.train import Measurement, Progress, progress
from everlong.train.learner import Update
from everlong.train.progress import Meter
from everlong.train.task import BYTE
from tests.unit.train.conftest import settings


def update(*, tokens: float = 1.0) -> Update:
    return Update(loss=1.0, targets=1.0, tokens=tokens, aux={}, gradient_norm=0.0, memory=None)


def progress_of(meter: Meter, **changes: Any) -> Progress:
    fields: dict[str, Any] = {"step": 25, "seconds": 9.0, "update": update(), "bits": 1.5, "per": BYTE}
    return meter.progress(**{**fields, "learning_rate": 0.1, "memory_bytes": 7, "measured": None, **changes})


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)


def test_time_goes_on_where_the_run_was_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    meter = Meter(settings(), step=5, seconds=60.0)
    clock.now += 3
    assert meter.seconds() == 63


def test_time_left_follows_the_pace_of_this_session() -> None:
    meter = Meter(settings(steps=100), step=20, seconds=1000.0)
    assert meter.seconds_left(step=40, seconds=1010.0) == 30
    assert meter.seconds_left(step=100, seconds=1040.0) == 0


def test_the_nearer_of_two_limits_counts() -> None:
    meter = Meter(settings(steps=100, minutes=1.0), step=0, seconds=0.0)
    assert meter.seconds_left(step=10, seconds=2.0) == 18
    assert meter.seconds_left(step=10, seconds=50.0) == 10
    assert Meter(settings(steps=0, minutes=1.0), step=0, seconds=0.0).seconds_left(step=1, seconds=15) == 45


def test_speed_is_that_of_updates_alone_and_of_the_last_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    config = settings(lanes=2, chunk=5, window=3, accumulate=4)
    meter = Meter(config, step=0, seconds=0.0)
    for _ in range(25):
        with meter.timed():
            clock.now += 2
        clock.now += 100
        found = progress_of(meter, update=update(tokens=120.0))
    assert found.tokens_per_second == 60
    assert "valid_bits_per_byte" not in found.figures()
    assert found.figures()["step"] == 25


def test_a_measurement_is_among_the_figures() -> None:
    meter = Meter(settings(), step=0, seconds=0.0)
    measured = Measurement(bits=2.5, figures={"valid_accuracy": 0.25})
    found = progress_of(meter, measured=measured)
    assert found.valid_bits == found.figures()["valid_bits_per_byte"] == 2.5
    assert found.figures()["valid_accuracy"] == 0.25
