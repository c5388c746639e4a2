"""Needles in a haystack (Hsieh et al., 2024, RULER, arXiv:2404.06654, section 3 and appendix B).

    ... One of the special magic numbers for key7 is: 10042. ...                                    hidden in a text
    What are all the special magic numbers for key7 mentioned in the provided text?
    The special magic numbers for key7 mentioned in the provided text are   10042  10017            shown
                                                                       10042  10017  10003          asked for

`n_keys` keys have `n_values` numbers each, a needle for each number, in random order; then `n_queries` of the keys are
asked for, one after another. The text is noise, or other needles, whose keys are not asked for and may come twice.

Keys and numbers are single tokens here, not words of several tokens and seven digits, so that the right answer is one
token. RULER takes the numbers of a key in any order; here they are asked for in the order of the text, each shown after
it was asked for. RULER asks for several keys in one question; here each has its own. Essays are left out.
"""

from functools import cache
from typing import Literal, Self, final

import torch
from pydantic import Field, model_validator

from everlong.data.synthetic.hiding import Ask, HidingRules, asking, hide, noise, require_room, vocabulary
from everlong.data.synthetic.rules import Episode, Sizes, integer
from everlong.data.words import WordTokenizer

NEEDLE = "One of the special magic numbers for {key} is: {value}."
QUESTION = (
    "What are all the special magic numbers for {key} mentioned in the provided text? "
    "The special magic numbers for {key} mentioned in the provided text are"
)
NUMBER = 10000
"""The smallest number that may be hidden."""


@cache
def _words(symbols: int) -> WordTokenizer:
    return vocabulary(*((NEEDLE + QUESTION).format(key=_key(n), value=_value(n)) for n in range(symbols)))


@final
class Needle(HidingRules):
    """Say the numbers that stood beside a key, somewhere in the text."""

    name = "needle"

    n_keys: int = Field(default=1, ge=1)
    """Keys that may be asked for."""
    n_values: int = Field(default=1, ge=1)
    """Numbers of each key."""
    n_queries: int = Field(default=1, ge=1)
    """Keys that are asked for."""
    background: Literal["noise", "needles"] = "noise"
    """What the text consists of."""
    symbols: int = Field(default=64, ge=2)
    """How many keys there are in all, and how many numbers."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.n_queries > self.n_keys:
            raise ValueError(f"n_queries={self.n_queries} keys cannot be asked for of n_keys={self.n_keys}.")
        wanted = max(self.n_keys + 1, self.n_keys * self.n_values)
        if self.symbols < wanted:
            raise ValueError(f"symbols={self.symbols} are too few for so many keys and values; give {wanted} or more.")
        require_room(self)
        return self

    @property
    def words(self) -> WordTokenizer:
        """The words of the sentences, keys and numbers."""
        return _words(self.symbols)

    @property
    def needed(self) -> int:
        """Tokens of the needles, of the questions and of all answers but the last."""
        needle, question = len(self._needle(0, 0)), len(self.words.encode(QUESTION.format(key=_key(0))))
        return self.n_keys * self.n_values * needle + self.n_queries * (question + self.n_values) - 1

    def draw(self, rng: torch.Generator, sizes: Sizes) -> Episode:
        """A text with needles in it, and a question with its answers for each key that is asked for."""
        keys = torch.randperm(self.symbols, generator=rng).tolist()
        values = torch.randperm(self.symbols, generator=rng).tolist()
        wanted, others = keys[: self.n_keys], keys[self.n_keys :]
        order = torch.randperm(self.n_keys * self.n_values, generator=rng).tolist()
        pairs = [(wanted[n % self.n_keys], values[n]) for n in order]
        tokens, depths = hide(rng, [self._needle(*pair) for pair in pairs], self._among(rng, sizes, others))
        asks: list[Ask] = []
        for key in wanted[: self.n_queries]:
            tokens += self.words.encode(QUESTION.format(key=_key(key)))
            for (owner, value), depth in zip(pairs, depths, strict=True):
                if owner == key:
                    (answer,) = self.words.encode(_value(value))
                    asks.append((len(tokens) - 1, answer, depth))
                    tokens.append(answer)
        return asking(tokens[:-1], asks)

    def _needle(self, key: int, value: int) -> list[int]:
        return self.words.encode(NEEDLE.format(key=_key(key), value=_value(value)))

    def _among(self, rng: torch.Generator, sizes: Sizes, others: list[int]) -> list[list[int]]:
        room = sizes["length"] - self.needed
        if self.background == "noise":
            return noise(self.words, room=room)
        count = room // len(self._needle(0, 0))
        drawn = [(others[integer(rng, 0, len(others) - 1)], integer(rng, 0, self.symbols - 1)) for _ in range(count)]
        return [self._needle(*pair) for pair in drawn]


def _key(number: int) -> str:
    return f"key{number}"


def _value(number: int) -> str:
    return str(NUMBER + number)
