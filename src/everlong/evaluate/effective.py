"""Relative effective context length (Dai et al., 2019, Transformer-XL, section 4.3 and appendix C), for one model.

With `l(c, t)` the loss of token `t` after `c` tokens of context, and a doubled context `c' = 2c`:

    b(c, t)  = l(c, t)                                  the baseline: the paper takes the best of a group of models
    T        = the share r of tokens with the largest b(c, t)
    f(c, c') = mean over T of min(b(c, t), l(c', t))    f(c, c) is the mean baseline
    g(c, c') = 1 - exp(f(c, c') - f(c, c))              the relative gain, in perplexity of a token

The length is the first `c` whose doubling gains less than 1 %. The paper's group is one model here, so lengths of two
models do not share a baseline; and its fixed step is a doubling. As in the paper, only tokens that a longer context
makes cheaper count: a context that makes some tokens cheaper and others dearer gains by this measure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

SHARES = (0.1, 0.5, 1.0)
"""The hardest tenth of tokens, the harder half, and all."""
THRESHOLD = 0.01


@final
@dataclass(frozen=True, kw_only=True)
class EffectiveContext:
    """How long a context the hardest tokens profit from."""

    share: float
    length: int
    bounded: bool
    """Whether a longer context was tried and gained too little; if not, the length is at least this."""
    gains: tuple[float, ...]
    """The relative gain of doubling each context but the last."""

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {"share": self.share, "length": self.length, "bounded": self.bounded, "gains": list(self.gains)}


def relative_gain(short: NDArray[np.float64], long: NDArray[np.float64], *, share: float) -> float:
    """What a longer context saves of the perplexity of the hardest tokens.

    Args:
        short: nats of each token with the shorter context.
        long: nats of the same tokens with the longer one.
        share: how many of the tokens count, those that cost most with the shorter context.
    """
    hardest = np.argsort(-short, kind="stable")[: max(1, round(share * len(short)))]
    baseline = short[hardest]
    return 1 - math.exp(float(np.minimum(baseline, long[hardest]).mean() - baseline.mean()))


def effective_context(contexts: Sequence[int], nats: NDArray[np.float64], *, share: float) -> EffectiveContext:
    """The first context whose doubling gains the hardest tokens less than 1 %.

    Args:
        contexts: lengths, each twice the one before.
        nats: ``[context, token]``.
        share: how many of the tokens count.
    """
    gains = tuple(relative_gain(nats[i], nats[i + 1], share=share) for i in range(len(contexts) - 1))
    enough = next((i for i, gain in enumerate(gains) if gain < THRESHOLD), None)
    length = contexts[-1] if enough is None else contexts[enough]
    return EffectiveContext(share=share, length=length, bounded=enough is not None, gains=gains)
