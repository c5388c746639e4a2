"""Which model to take for what, as far as the spread allows.

A figure of a model has a value from each seed, or from each round of a measurement of speed. Its interval is that of
the mean at 95 %, by Student's t:

    mean ± t(n - 1) · s / √n        s the standard deviation of the n values

The model with the best mean is ahead where its interval overlaps no other one's; else it is a tie of all whose
intervals overlap its own, and the others are surely behind it: also one whose mean lies between, if its interval is
narrow. One value has no interval and decides nothing. Bytes are counted, not measured: they have no spread. A model of
which a run failed is left out.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

from everlong.compare.figures import Figures

T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""Two-sided 95 % points of Student's t for 1 to 10 degrees of freedom; more are treated as 10."""

Topic = Literal["quality", "far", "memory", "reading", "decoding", "training", "bytes", "probe"]
Outcome = Literal["ahead", "tie", "one-seed", "nothing", "helps"]


@final
@dataclass(frozen=True, kw_only=True)
class Interval:
    """Where a mean lies; ``low`` and ``high`` are infinite where there is but one value."""

    mean: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there is an interval at all."""
        return math.isfinite(self.low)

    def overlaps(self, other: "Interval") -> bool:
        """Whether the two have a point in common."""
        return self.low <= other.high and other.low <= self.high


@final
@dataclass(frozen=True, kw_only=True)
class Finding:
    """What is found about one topic."""

    topic: Topic
    outcome: Outcome
    best: tuple[str, ...]
    """The model that is ahead; those that tie, the best mean first; the one with the best value of one seed; or those
    whose memory helps."""
    values: Mapping[str, Interval]
    """Of every model that was judged."""
    about: str = ""
    """Which probe; from which position on."""


def interval(values: Sequence[float], *, exact: bool = False) -> Interval:
    """The interval of the mean; of counts, which are exact, the value itself.

    >>> found = interval([1.0, 2.0, 3.0])
    >>> round(found.low, 3), found.mean, round(found.high, 3)
    (-0.484, 2.0, 4.484)
    """
    mean = statistics.fmean(values)
    if exact:
        return Interval(mean=mean, low=mean, high=mean)
    if len(values) < 2:
        return Interval(mean=mean, low=-math.inf, high=math.inf)
    half = T_95[min(len(values) - 1, len(T_95)) - 1] * statistics.stdev(values) / math.sqrt(len(values))
    return Interval(mean=mean, low=mean - half, high=mean + half)


def judge(
    topic: Topic, values: Mapping[str, Sequence[float]], *, most: bool = False, exact: bool = False, about: str = ""
) -> Finding:
    """Who is ahead in a figure of which less is better, or with `most`, more."""
    found = {model: interval(own, exact=exact) for model, own in values.items() if own}
    ranked = sorted(found, key=lambda model: found[model].mean, reverse=most)
    if len(ranked) < 2:
        return Finding(topic=topic, outcome="nothing", best=tuple(ranked), values=found, about=about)
    first = found[ranked[0]]
    if not all(one.known for one in found.values()):
        return Finding(topic=topic, outcome="one-seed", best=(ranked[0],), values=found, about=about)
    best = tuple(model for model in ranked if found[model].overlaps(first))
    return Finding(topic=topic, outcome="tie" if best[1:] else "ahead", best=best, values=found, about=about)


def helped(values: Mapping[str, Sequence[float]]) -> Finding:
    """Which models' memory saves bits: those whose interval of what it saves lies above 0. Of others, not shown."""
    found = {model: interval(own) for model, own in values.items() if own}
    if not found:
        return Finding(topic="memory", outcome="nothing", best=(), values=found)
    if not all(one.known for one in found.values()):
        return Finding(topic="memory", outcome="one-seed", best=(), values=found)
    best = tuple(model for model, one in found.items() if one.low > 0)
    return Finding(topic="memory", outcome="helps", best=best, values=found)


def conclude(figures: Figures) -> list[Finding]:
    """What the figures allow to say, topic by topic."""
    failed = {run.model for run in figures.failed}
    names = [name for name in figures.names if name not in failed]
    texts = {name: [run.text for run in figures.of(name) if run.text] for name in names}
    measured = {model.model: model for model in figures.models if model.model in names}
    findings = [judge("quality", {name: [text.carried for text in own] for name, own in texts.items()})]
    if first := far_position(figures):
        far = {name: [bits for text in own if (bits := text.beyond(first)) is not None] for name, own in texts.items()}
        findings.append(judge("far", far, about=f"{first:,}"))
    findings += [
        helped({name: [text.gain for text in own] for name, own in texts.items()}),
        judge("bytes", {name: [model.memory_bytes] for name, model in measured.items()}, exact=True),
        judge("training", {name: [run.tokens_per_second for run in figures.of(name)] for name in names}, most=True),
        judge("reading", {name: model.reading for name, model in measured.items()}, most=True),
        judge("decoding", {name: model.decoding for name, model in measured.items()}, most=True),
    ]
    for probe in figures.probes:
        accuracy = {name: [run.probed.accuracy for run in figures.of(name, probe) if run.probed] for name in names}
        findings.append(judge("probe", accuracy, most=True, about=probe))
    return findings


def far_position(figures: Figures) -> int | None:
    """From where on a text counts as far: the last power of two that a tenth of the bytes lie beyond, past a chunk."""
    text = next((run.text for run in figures.runs if run.text), None)
    if text is None:
        return None
    enough = 0.1 * text.n_bytes
    for place in sorted(text.places, key=lambda one: -one.first):
        beyond = sum(one.n_bytes for one in text.places if one.first >= place.first)
        if beyond >= enough:
            return place.first if place.first >= figures.chunk else None
    return None
