"""Variable tracking (Hsieh et al., 2024, RULER, arXiv:2404.06654, section 3 and appendix B).

    ... VAR x7 = 10042. ... VAR x3 = VAR x7. ... VAR x9 = VAR x3. ...         hidden in noise
    What is the value of VAR x9?                                              shown
                               10042                                          asked for

A chain is a variable with a value and `hops` further ones, each of which is set to the one before. Statements stand in
their order, those of several chains mixed. At the end one variable of each chain is asked for, each as likely.

RULER shows one chain, names its value, and asks for all of its variables in any order. Here one variable is named, and
its value is asked for at the question mark, which has one right token; the answer is not shown afterwards. With one
chain there would be nothing to track, hence there are several. Names and values are single tokens.
"""

from functools import cache
from itertools import pairwise
from typing import ClassVar, Self, final

import torch
from pydantic import Field, model_validator

from everlong.data.synthetic.hiding import Ask, HidingRules, asking, hide, noise, require_room, vocabulary
from everlong.data.synthetic.rules import Episode, Sizes, integer
from everlong.data.words import WordTokenizer

FIRST, NEXT = "VAR {name} = {value}.", "VAR {name} = VAR {source}."
QUESTION = "What is the value of VAR {name}?"
NUMBER = 10000
"""The smallest value."""


@cache
def _words(symbols: int) -> WordTokenizer:
    return vocabulary(*((FIRST + QUESTION).format(name=_name(n), value=_value(n)) for n in range(symbols)))


@final
class VariableTracking(HidingRules):
    """Say the value of a variable that was set to another one, which was set to another one."""

    name = "variable-tracking"
    mark: ClassVar[str] = "assignments"
    """The mark of an answer is how many assignments lead to it: 1 where the variable was set to the value itself."""

    length: int = Field(default=256, ge=1)
    """Tokens of a sequence; a few less, where no further sentence fits."""
    chains: int = Field(default=4, ge=2)
    """Values that are handed on."""
    hops: int = Field(default=4, ge=0)
    """Variables of a chain after its first one."""
    symbols: int = Field(default=64, ge=2)
    """How many names there are in all, and how many values."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        wanted = self.chains * (self.hops + 1)
        if self.symbols < wanted:
            raise ValueError(
                f"symbols={self.symbols} are too few for the variables of all chains; give {wanted} or more."
            )
        require_room(self)
        return self

    @property
    def words(self) -> WordTokenizer:
        """The words of the sentences, names and values."""
        return _words(self.symbols)

    @property
    def needed(self) -> int:
        """Tokens of all statements and questions."""
        chain = [token for statement in self._chain([0] * (self.hops + 1), 0) for token in statement]
        return self.chains * (len(chain) + len(self._question(0)))

    def draw(self, rng: torch.Generator, sizes: Sizes) -> Episode:
        """Noise with chains in it, and a question about each."""
        names = (
            torch.randperm(self.symbols, generator=rng)[: self.chains * (self.hops + 1)].view(self.chains, -1).tolist()
        )
        values = torch.randperm(self.symbols, generator=rng)[: self.chains].tolist()
        chains = [iter(self._chain(*chain)) for chain in zip(names, values, strict=True)]
        turns = torch.arange(self.chains).repeat_interleave(self.hops + 1)
        turns = turns[torch.randperm(len(turns), generator=rng)].tolist()
        among = noise(self.words, room=sizes["length"] - self.needed)
        tokens, _ = hide(rng, [next(chains[turn]) for turn in turns], among)
        asks: list[Ask] = []
        for chain, value in zip(names, values, strict=True):
            asked = integer(rng, 0, self.hops)
            tokens += self._question(chain[asked])
            (answer,) = self.words.encode(_value(value))
            asks.append((len(tokens) - 1, answer, asked + 1))
        return asking(tokens, asks)

    def _chain(self, names: list[int], value: int) -> list[list[int]]:
        first = FIRST.format(name=_name(names[0]), value=_value(value))
        following = (NEXT.format(name=_name(name), source=_name(source)) for source, name in pairwise(names))
        return [self.words.encode(statement) for statement in (first, *following)]

    def _question(self, name: int) -> list[int]:
        return self.words.encode(QUESTION.format(name=_name(name)))


def _name(number: int) -> str:
    return f"x{number}"


def _value(number: int) -> str:
    return str(NUMBER + number)
