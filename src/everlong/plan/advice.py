"""Which setting to change: what each change alone would save, and changes that together fit a budget.

Settings that leave the model as it is come first (recomputing, lanes, the chunk), then how much it remembers, then how
large it is. Each change halves a number, or begins to compute activations again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, final

from everlong.errors import ConfigError
from everlong.plan.case import Setup
from everlong.plan.predictor import Forecast

HALVED = (
    "lanes",
    "chunk",
    "context",
    "mem_len",
    "cmem_len",
    "window",
    "n_paragraphs",
    "bucket_size",
    "n_hashes",
    "memory_slots",
    "n_layers",
    "d_ff",
    "d_model",
)
"""Settings that cost follows from, in the order in which they are tried."""

MOST_CHANGES = 8
"""Changes that are made together to fit a budget."""

Forecaster = Callable[[Setup], Forecast]


@final
@dataclass(frozen=True, kw_only=True)
class Change:
    """One setting with another value, and what the setup then costs."""

    name: str
    before: Any
    after: Any
    forecast: Forecast


@final
@dataclass(frozen=True, kw_only=True)
class Budget:
    """The most that training may cost; ``None`` for no limit.

    Raises:
        ConfigError: a limit is not above 0.
    """

    seconds: float | None = None
    """Of an epoch."""
    memory: float | None = None
    """Bytes."""

    def __post_init__(self) -> None:
        for name, limit in (("seconds", self.seconds), ("memory", self.memory)):
            if limit is not None and not limit > 0:
                raise ConfigError(f"a budget of {name}={limit:g} has room for nothing. Give more than 0.")

    def excess(self, forecast: Forecast) -> float:
        """How many times too much the worse of both is; at most 1 where it fits."""
        parts = [(self.seconds, forecast.epoch_seconds), (self.memory, forecast.memory)]
        return max((cost / limit for limit, cost in parts if limit is not None), default=0.0)


def changes(forecast: Forecast, forecaster: Forecaster) -> list[Change]:
    """Every single change, the largest saving of time or memory first."""
    found = [
        Change(name=name, before=before, after=after, forecast=forecaster(setup))
        for name, before, after, setup in _halvings(forecast.setup)
    ]

    def left(change: Change) -> float:
        other = change.forecast
        return min(other.epoch_seconds / forecast.epoch_seconds, other.memory / forecast.memory)

    return sorted(found, key=left)


def fit_budget(forecast: Forecast, budget: Budget, forecaster: Forecaster) -> list[Change] | None:
    """The first changes, one after the other, after which a setup fits; none if it fits already, ``None`` if none do.

    A change that fits by itself is taken in the order of `HALVED`. If there is none, the one that comes nearest is made
    for good, and the search goes on from there.
    """
    made: list[Change] = []
    while budget.excess(forecast) > 1:
        if len(made) == MOST_CHANGES:
            return None
        best: Change | None = None
        for name, before, after, setup in _halvings(forecast.setup):
            change = Change(name=name, before=before, after=after, forecast=forecaster(setup))
            if best is None or budget.excess(change.forecast) < budget.excess(best.forecast):
                best = change
            if budget.excess(change.forecast) <= 1:
                break
        if best is None or budget.excess(best.forecast) >= budget.excess(forecast):
            return None
        made.append(best)
        forecast = best.forecast
    return made


def _halvings(setup: Setup) -> Iterator[tuple[str, Any, Any, Setup]]:
    if not setup.training.recompute:
        yield "recompute", False, True, setup.changed({"recompute": True})
    for name in HALVED:
        # A window of the model is meant, not the chunks that gradients flow through.
        held = setup.model if name in type(setup.model).model_fields else setup.training
        before = getattr(held, name, None) if name != "window" or held is setup.model else None
        if not isinstance(before, int) or before < 2 or (name == "chunk" and setup.kind == "encoder"):
            continue
        try:
            yield name, before, before // 2, setup.changed({name: before // 2})
        except ConfigError:
            continue
