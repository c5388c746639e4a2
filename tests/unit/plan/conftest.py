"""A plan small enough to be checked against the real thing."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from everlong.models import describe_model
from everlong.plan import Predictor, Setup
from everlong.plan.rates import Rates
from everlong.train import TrainConfig

SMALL = {"vocab_size": 32, "d_model": 16, "n_layers": 4, "n_heads": 2, "d_ff": 32, "context": 8}
RATES = Rates(call=1e-5, operation=1e-9, byte=1e-8)


def setup_of(architecture: str = "transformer", /, length: int = 1000, **fields: Any) -> Setup:
    """A small setup; fields of training by their names, all others are the model's."""
    training = {name: fields.pop(name) for name in list(fields) if name in TrainConfig.model_fields}
    if architecture == "transformer":
        fields = {**SMALL, **fields}
    return Setup(
        architecture=architecture,
        model=describe_model(architecture)[1].parse(fields),
        training=TrainConfig.parse({"lanes": 4, "chunk": 64, **training}),
        length=length,
    )


@pytest.fixture(scope="session")
def predictor() -> Predictor:
    """A predictor of a small transformer."""
    return predictor_of(setup_of())


def predictor_of(setup: Setup) -> Predictor:
    """A predictor of this machine, were it one on which everything takes a known time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("everlong.plan.predictor.fit", lambda *_: RATES)
        patch.setattr("everlong.plan.predictor.timed", lambda *_, **__: [])
        return Predictor(setup, clock=ticking())


def ticking() -> Callable[[], float]:
    """A clock that goes on by a second each time one looks."""
    seconds: Iterator[int] = count()
    return lambda: float(next(seconds))
