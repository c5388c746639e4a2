"""Key tokens: those that a long context makes cheap and a short one does not (Fang et al., 2024, LongPPL, section 3).

    key(t)  =  l_short(t) - l_full(t) > alpha   and   l_full(t) < beta        alpha = beta = 2 nats
    LongPPL = exp(mean loss of the key tokens)

`l_full` is read with everything of the document before the token, `l_short` with a stated number of tokens. A model
that picks its own key tokens knows them by definition: to compare models, another one, the judge, picks them for all.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

ALPHA = BETA = 2.0


@final
@dataclass(frozen=True, kw_only=True)
class KeyTokens:
    """How many tokens are key tokens, and what they cost a model."""

    n_tokens: int
    n_key: int
    short: int
    """Tokens of the short context."""
    bits: Mapping[str, float | None]
    """Bits of a key token under each reading; ``None`` where the reading was not taken or no token is one."""

    @property
    def share(self) -> float:
        """The share of key tokens."""
        return self.n_key / self.n_tokens

    @property
    def long_ppl(self) -> float | None:
        """Perplexity of the key tokens with everything before them in memory; ``None`` where there is none."""
        carried = self.bits["carried"]
        return None if carried is None else 2**carried

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            "n_tokens": self.n_tokens,
            "n_key": self.n_key,
            "share": self.share,
            "short": self.short,
            "bits": dict(self.bits),
            "long_ppl": self.long_ppl,
        }


def is_key(short: NDArray[np.float64], full: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which tokens are key tokens, by their nats with the short context and with the full one."""
    return (short - full > ALPHA) & (full < BETA)


def key_tokens(key: NDArray[np.bool_], readings: Mapping[str, NDArray[np.float64] | None], *, short: int) -> KeyTokens:
    """What the key tokens cost under each reading.

    Args:
        key: which of the tokens are key tokens.
        readings: nats of all tokens by the name of the reading; ``None`` for one that was not taken.
        short: tokens of the short context, by which the key tokens were chosen.
    """
    some = bool(key.any())
    return KeyTokens(
        n_tokens=len(key),
        n_key=int(key.sum()),
        short=short,
        bits={
            name: float(nats[key].mean()) / math.log(2) if nats is not None and some else None
            for name, nats in readings.items()
        },
    )
