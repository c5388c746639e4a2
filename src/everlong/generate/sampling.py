"""From scores to one token: pure functions of logits, and one value that says which of them to apply.

    scores = penalise_repeats -> divide by the temperature -> keep_top_k -> keep_top_p
    token  = draw(scores, uniform(seed, position))          or most_likely(scores) at temperature 0

Chance is a function of a seed and of how many tokens the lane has read, not of a generator's state. So a lane's tokens
do not depend on the other lanes, two calls of ten tokens give the tokens of one call of twenty, and a saved session
needs to save no generator.
"""

from typing import Self

import torch
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor

from everlong.config import Config

RECENT = 1024
"""How many of its last tokens a lane keeps, for `penalise_repeats`."""

COLDEST = 1e-3
RESOLUTION = 2.0**52
_MASK = (1 << 64) - 1


class Sampler(Config):
    """How the next token is chosen from a model's scores.

    >>> Sampler(temperature=0.8, top_p=0.95).top_k
    0

    Raises:
        ConfigError: a setting is out of range; the message says which and why.
    """

    temperature: float = Field(default=1.0, ge=0.0, allow_inf_nan=False)
    """Scores are divided by it; 0 takes the most likely token."""
    top_k: int = Field(default=0, ge=0)
    """Only so many of the most likely tokens may be drawn; 0 for all."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Only the fewest most likely tokens whose probabilities reach this sum may be drawn."""
    repetition_penalty: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)
    """Above 1 makes tokens less likely that were read or written lately."""
    repetition_window: int = Field(default=256, ge=1, le=RECENT)
    """How many of the last tokens count as lately."""

    @model_validator(mode="after")
    def _not_too_cold(self) -> Self:
        if 0 < self.temperature < COLDEST:
            raise ValueError(
                f"temperature={self.temperature} is too small to divide by; give 0 for the most likely token, "
                f"or {COLDEST} or more."
            )
        return self

    def scores(self, logits: Float[Tensor, "b v"], recent: Int[Tensor, "b n"]) -> Float[Tensor, "b v"]:
        """Logits, in float32 or finer, after every transformation but the draw; minus infinity means never."""
        scores = logits if logits.dtype == torch.float64 else logits.float()
        if self.repetition_penalty != 1.0:
            scores = penalise_repeats(scores, recent[:, -self.repetition_window :], penalty=self.repetition_penalty)
        if self.temperature == 0.0:
            return scores
        # Relative to the largest, so that a small temperature cannot overflow.
        scores = (scores - scores.amax(dim=-1, keepdim=True)) / self.temperature
        return keep_top_p(keep_top_k(scores, k=self.top_k), p=self.top_p)

    def choose(
        self, logits: Float[Tensor, "b v"], *, recent: Int[Tensor, "b n"], chance: Float[Tensor, "b"]
    ) -> Int[Tensor, "b"]:
        """The next token of each lane.

        Args:
            logits: the model's scores.
            recent: the lane's last tokens, newest last; -1 where there was none.
            chance: one number in [0, 1) a lane.
        """
        scores = self.scores(logits, recent)
        return most_likely(scores) if self.temperature == 0.0 else draw(scores, chance)


PLAIN = Sampler()
"""Draws from the model's own distribution."""

GREEDY = Sampler(temperature=0.0)
"""Takes the most likely token."""


def penalise_repeats(
    logits: Float[Tensor, "b v"], recent: Int[Tensor, "b n"], *, penalty: float
) -> Float[Tensor, "b v"]:
    """Positive logits of recent tokens divided by the penalty, negative ones multiplied, once for each token.

    After Keskar et al. (2019, arXiv:1909.05858, section 4.1). -1 in `recent` is no token.
    """
    vocab = logits.shape[-1]
    seen = torch.zeros(len(logits), vocab + 1, dtype=torch.bool, device=logits.device)
    seen = seen.scatter(1, torch.where(recent >= 0, recent, vocab), True)[:, :vocab]
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def keep_top_k(logits: Float[Tensor, "b v"], *, k: int) -> Float[Tensor, "b v"]:
    """The `k` largest logits of each lane, minus infinity elsewhere; of equals the lower tokens stay. 0 keeps all."""
    if k == 0 or k >= logits.shape[-1]:
        return logits
    least = logits.topk(k, dim=-1).values[:, -1:]
    above, equal = logits > least, logits == least
    room = k - above.sum(dim=-1, keepdim=True)
    return logits.masked_fill(~(above | (equal & (equal.cumsum(dim=-1) <= room))), -torch.inf)


def keep_top_p(logits: Float[Tensor, "b v"], *, p: float) -> Float[Tensor, "b v"]:
    """The fewest largest logits whose probabilities sum to `p` at least, minus infinity elsewhere; one stays always.

    The nucleus of Holtzman et al. (2020, arXiv:1904.09751). Of equals the lower tokens stay.
    """
    if p >= 1.0:
        return logits
    ordered, tokens = logits.sort(dim=-1, descending=True, stable=True)
    share = ordered.softmax(dim=-1).double()
    inside = share.cumsum(dim=-1) - share < p
    return logits.masked_fill(~torch.zeros_like(inside).scatter(-1, tokens, inside), -torch.inf)


def most_likely(logits: Float[Tensor, "b v"]) -> Int[Tensor, "b"]:
    """The token with the largest logit; the lowest of equals, on every device."""
    vocab = logits.shape[-1]
    tokens = torch.arange(vocab, device=logits.device)
    return torch.where(logits == logits.amax(dim=-1, keepdim=True), tokens, vocab).amin(dim=-1)


def draw(logits: Float[Tensor, "b v"], chance: Float[Tensor, "b"]) -> Int[Tensor, "b"]:
    """The token at which the probabilities, summed in the order of tokens, first exceed `chance`."""
    # As integers, whose sums are exact in any order: a token of probability 0 is never drawn, and no sum falls short.
    weight = (logits.softmax(dim=-1).double() * RESOLUTION).long().cumsum(dim=-1)
    point = (chance.double() * weight[:, -1]).long()
    return torch.searchsorted(weight, point[:, None], right=True)[:, 0]


def uniform(seed: int, index: int) -> float:
    """Number `index` of a stream of numbers in [0, 1) that `seed` names.

    Neighbouring seeds name unlike streams. Seeds are integers of any sign, modulo 2^64.
    """
    return (splitmix64(splitmix64(seed, 0), index) >> 11) * 2.0**-53


def splitmix64(state: int, index: int) -> int:
    """Output `index` of the generator SplitMix64 (Steele et al., 2014) that begins in this state: a 64-bit number."""
    z = state + (index + 1) * 0x9E3779B97F4A7C15 & _MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & _MASK
    return z ^ z >> 31
