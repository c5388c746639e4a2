"""What a setup will cost, before it is run.

counts    by the ledger, from runs of one or two lanes and the fewest layers, carried on to the real sizes
rates     by the clock, from the same small runs and some of more lanes
seconds   rates times counts
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, final

from everlong.plan.case import Resident, Setup, resident
from everlong.plan.ledger import Counts, combine
from everlong.plan.rates import Clock, Rates, fit, timed
from everlong.plan.scaling import STEPS, extrapolate, layer_samples, small_sizes
from everlong.plan.trial import DECODED, Trial, decoding_trial, training_trial

SEQUENTIAL = 1.6
"""How many times as many calls twice the chunk makes, in models of one step a token; it is 2 but for what is shared."""

LONG = 0.5
"""Seconds of a trial beyond which no trial of more lanes is made."""

TRAINING_SECONDS, DECODING_SECONDS = 4.0, 1.5
"""How long trials are timed, where three rounds of them do not take longer."""


@final
@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a setup costs."""

    setup: Setup
    step: Counts
    """Of one update."""
    token: Counts | None
    """Of one decoded token; ``None`` where nothing is decoded."""
    resident: Resident
    step_seconds: float
    token_seconds: float | None

    @property
    def epoch_seconds(self) -> float:
        """Time to learn from as many tokens as the text has, or from one batch of texts that are read whole."""
        if self.setup.kind == "causal":
            return self.step_seconds * self.setup.length / self.setup.tokens_per_step
        return self.step_seconds

    @property
    def memory(self) -> float:
        """Bytes that training needs: what is always there, and the peak of a step, gradients included."""
        there = self.resident
        return there.weights + there.optimizer + there.carried + self.step.peak

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain values."""
        token, length = self.token, self.setup.length
        seconds = self.token_seconds
        return {
            "operations_per_step": round(self.step.operations),
            "operations_per_token": None if token is None else round(token.operations),
            "shares": shares(self.step),
            "activation_bytes": round(self.step.kept),
            "step_peak_bytes": round(self.step.peak),
            "training_bytes": round(self.memory),
            "weight_bytes": self.resident.weights,
            "gradient_bytes": self.resident.gradients,
            "optimizer_bytes": self.resident.optimizer,
            "session_bytes": self.resident.session,
            "step_seconds": self.step_seconds,
            "epoch_seconds": self.epoch_seconds,
            "token_seconds": seconds,
            "writing_seconds": None if seconds is None else seconds * length,
        }


def shares(counts: Counts) -> dict[str, float]:
    """The part of a forward pass's operations that each part of the model takes, largest first."""
    total = sum(counts.parts.values())
    order = sorted(counts.parts, key=lambda name: -counts.parts[name])
    return {name: counts.parts[name] / total for name in order}


@final
class Predictor:
    """Forecasts for one architecture: rates are found on one setup and hold for others not unlike it.

    Args:
        setup: what the rates are found on.
        clock: tells seconds.
    """

    def __init__(self, setup: Setup, *, clock: Clock = time.perf_counter) -> None:
        self._counted: dict[tuple[object, ...], Counts] = {}
        self._by_steps: dict[str, bool] = {}
        self._clock = clock
        self.training_rates = self._rates(self._training_trials(setup), training_trial, TRAINING_SECONDS)
        self.decoding_rates = (
            None
            if setup.kind == "encoder"
            else self._rates(self._decoding_trials(setup), decoding_trial, DECODING_SECONDS)
        )

    def forecast(self, setup: Setup) -> Forecast:
        """What a setup costs, by the rates that were found once; what is not counted yet is, in small runs."""
        step = extrapolate(self._count_update, setup, self._small(setup))
        token = None if self.decoding_rates is None else self._token(setup)
        return Forecast(
            setup=setup,
            step=step,
            token=token,
            resident=resident(setup),
            step_seconds=self.training_rates.seconds(step),
            token_seconds=None if token is None or self.decoding_rates is None else self.decoding_rates.seconds(token),
        )

    def _token(self, setup: Setup) -> Counts:
        sizes = {"n_layers": layer_samples(setup)}
        return combine([(1 / DECODED, extrapolate(self._count_decoding, setup, sizes))])

    def _small(self, setup: Setup) -> dict[str, Sequence[int]]:
        if setup.kind != "causal" or setup.chunk <= STEPS[-1]:
            return small_sizes(setup, by_steps=False)
        if setup.architecture not in self._by_steps:
            one = setup.changed({"n_layers": layer_samples(setup)[0], "lanes": 1})
            once, twice = (self._count_update(one.changed({"chunk": chunk})).calls for chunk in STEPS)
            self._by_steps[setup.architecture] = twice > SEQUENTIAL * once
        return small_sizes(setup, by_steps=self._by_steps[setup.architecture])

    def _training_trials(self, setup: Setup) -> list[list[Setup]]:
        """Small runs, those of more lanes later."""
        sizes = self._small(setup)
        lanes = [1 << n for n in range(setup.training.lanes.bit_length() - 1)] or [1]
        if "chunk" in sizes:
            lanes = [setup.training.lanes]
        others = {name: samples for name, samples in sizes.items() if name != "lanes"}
        chosen = [dict(zip(others, values, strict=True)) for values in product(*others.values())]
        return [[setup.changed({**other, "lanes": count}) for other in chosen] for count in lanes]

    def _decoding_trials(self, setup: Setup) -> list[list[Setup]]:
        return [[setup.changed({"n_layers": layers}) for layers in layer_samples(setup)]]

    def _rates(self, groups: Sequence[Sequence[Setup]], make: Callable[[Setup], Trial], patience: float) -> Rates:
        runs, counts = list[Callable[[], object]](), list[Counts]()
        for group in groups:
            slowest = 0.0
            for setup in group:
                trial = make(setup)
                counts.append(self._once(setup, make, trial))
                began = self._clock()
                trial.run()
                slowest = max(slowest, self._clock() - began)
                runs.append(trial.run)
            if slowest > LONG:
                break
        return fit(counts, timed(runs, patience=patience, clock=self._clock))

    def _count_update(self, setup: Setup) -> Counts:
        return self._once(setup, training_trial)

    def _count_decoding(self, setup: Setup) -> Counts:
        return self._once(setup, decoding_trial)

    def _once(self, setup: Setup, make: Callable[[Setup], Trial], trial: Trial | None = None) -> Counts:
        length = 0 if setup.kind == "causal" else setup.length
        training = (setup.chunk, setup.training.to_json()) if make is training_trial else ()
        key = (make, setup.architecture, setup.model.to_json(), length, *training)
        if key not in self._counted:
            self._counted[key] = (trial or make(setup)).counts()
        return self._counted[key]
