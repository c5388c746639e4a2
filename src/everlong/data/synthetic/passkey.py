"""Passkey retrieval (Mohtashami & Jaggi, 2023, arXiv:2305.16300, section 4.2; Zhang et al., 2024, arXiv:2402.13718).

    The grass is green. ... The pass key is 4 0 7 1 9. Remember it. 4 0 7 1 9 is the pass key. ... There and back again.
    What is the pass key? The pass key is   4  0  7  1          shown
                                         4  0  7  1  9          asked for

Each digit is a token, and is shown after it was asked for, as language models are scored: the whole key is right
exactly when a model that writes the likeliest digits one after another writes it. The published text says at its
beginning that something will be asked; this one does not. Digits are drawn evenly, a zero at the beginning too.
"""

from functools import cache
from typing import Self, final

import torch
from pydantic import Field, model_validator

from everlong.data.synthetic.hiding import HidingRules, asking, hide, noise, require_room, vocabulary
from everlong.data.synthetic.rules import Episode, Sizes
from everlong.data.words import WordTokenizer

NEEDLE = "The pass key is {key}. Remember it. {key} is the pass key."
QUESTION = "What is the pass key? The pass key is"


@cache
def _words() -> WordTokenizer:
    return vocabulary(NEEDLE.format(key="0 1 2 3 4 5 6 7 8 9"), QUESTION)


@final
class Passkey(HidingRules):
    """Say the number that stood somewhere in the noise."""

    name = "passkey"

    digits: int = Field(default=5, ge=1)
    """Digits of the key."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        require_room(self)
        return self

    @property
    def words(self) -> WordTokenizer:
        """The words of the sentences, and digits."""
        return _words()

    @property
    def needed(self) -> int:
        """Tokens of the key's sentences, of the question and of all digits but the last."""
        return len(self.words.encode(NEEDLE.format(key=" ".join("0" * self.digits)) + QUESTION)) + self.digits - 1

    def draw(self, rng: torch.Generator, sizes: Sizes) -> Episode:
        """Noise with a key in it, a question, and the key again."""
        key = " ".join(map(str, torch.randint(10, (self.digits,), generator=rng).tolist()))
        among = noise(self.words, room=sizes["length"] - self.needed)
        shown, (depth,) = hide(rng, [self.words.encode(NEEDLE.format(key=key))], among)
        shown += self.words.encode(QUESTION)
        answer = self.words.encode(key)
        asks = [(len(shown) - 1 + n, digit, depth) for n, digit in enumerate(answer)]
        return asking([*shown, *answer[:-1]], asks)
