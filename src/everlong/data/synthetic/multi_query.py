"""Multi-query associative recall (Arora et al., 2024, arXiv:2312.04927, section 3 and appendix E).

    k1 v1 k2 v2 ... kn vn  .  .  k2 .  .  .  k1 .  kn .        shown; a dot is a token that says nothing
                                 v2          v1    vn          asked for

Keys are tokens of the lower half of the vocabulary but 0, values of the upper half; all keys of a sequence differ, and
all values. The answer is given where the key stands again, and is not shown after it. Gaps before the questions are
drawn without replacement, short ones more often: the gap x of those that fit has a chance that is proportional to
x^(a - 1), a = 0.01.

What says nothing is token 0, or (`fill`) a random token of all, as in the published generator: by chance it may be one
of the keys, and what comes after it then is not its value.
"""

from abc import ABC
from functools import cache
from typing import Literal, Self, final

import torch
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor

from everlong.data.synthetic.rules import Episode, Sizes, TokenRules, distinct, integer, rounded_up
from everlong.shapes import IGNORE

SHORT = 0.01
"""The exponent `a`."""


class MultiQueryRules(TokenRules, ABC):
    """What tasks share that show pairs and then ask for the value of each key."""

    length: int = Field(default=64, ge=4)
    """Tokens of a sequence."""
    pairs: int = Field(default=4, ge=1)
    """Keys with their values."""
    symbols: int = Field(default=8192, ge=4)
    """Tokens of the vocabulary."""
    fill: Literal["nothing", "random"] = "nothing"
    """What stands between the questions."""

    @property
    def vocab_size(self) -> int:
        """Nothing, keys and values."""
        return self.symbols

    def draw_keys(self, rng: torch.Generator, count: int) -> Int[Tensor, "n"]:
        """So many different keys."""
        return 1 + distinct(rng, count, below=self.symbols // 2 - 1)

    def draw_values(self, rng: torch.Generator, count: int) -> Int[Tensor, "n"]:
        """So many different values."""
        half = self.symbols // 2
        return half + distinct(rng, count, below=self.symbols - half)

    def ask(
        self,
        rng: torch.Generator,
        shown: Int[Tensor, "s"],
        *,
        keys: Int[Tensor, "n"],
        values: Int[Tensor, "n"],
        said: Int[Tensor, "n"],
        length: int,
    ) -> Episode:
        """What is shown, and then each key again, where its value is asked for; `said` is where that stands."""
        asked = len(shown) + 2 * torch.multinomial(chances((length - len(shown)) // 2), len(keys), generator=rng)
        inputs = torch.zeros(length, dtype=torch.int64)
        if self.fill == "random":
            inputs = torch.randint(self.symbols, (length,), generator=rng)
        inputs[: len(shown)], inputs[asked] = shown, keys
        targets, marks = torch.full((length,), IGNORE), torch.zeros(length, dtype=torch.int64)
        targets[asked], marks[asked] = values, rounded_up(asked - said)
        return Episode(inputs=inputs, targets=targets, marks=marks)


@final
class MultiQueryRecall(MultiQueryRules):
    """Say which value stood beside this key."""

    name = "multi-query-recall"

    sizes: tuple[tuple[int, int], ...] = ()
    """Lengths with their pairs, each as likely in training (one given twice, twice); else `length` and `pairs`."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for length, pairs in self.sizes or ((self.length, self.pairs),):
            if pairs < 1:
                raise ValueError(f"{pairs} pairs ask for nothing; give 1 or more with length={length}.")
            require_room(length, shown=pairs, asked=pairs)
            if pairs > self.symbols // 2 - 1:
                raise ValueError(f"symbols={self.symbols} are too few for pairs={pairs}: {2 * pairs + 2} do.")
        return self

    def draw_sizes(self, rng: torch.Generator) -> Sizes:
        """One of the sizes of training."""
        trained = self._trained
        return trained[integer(rng, 0, len(trained) - 1)]

    def draw(self, rng: torch.Generator, sizes: Sizes) -> Episode:
        """Pairs, then their keys again at gaps."""
        keys, values = self.draw_keys(rng, sizes["pairs"]), self.draw_values(rng, sizes["pairs"])
        said = 1 + 2 * torch.arange(len(keys))
        return self.ask(rng, interleaved(keys, values), keys=keys, values=values, said=said, length=sizes["length"])

    @property
    def largest(self) -> Sizes:
        """The longest of training."""
        return max(self._trained, key=lambda sizes: (sizes["length"], sizes["pairs"]))

    def trials(self) -> tuple[Sizes, ...]:
        """Each size of training; the largest twice as long with twice as many pairs; and four times."""
        most, largest = self.symbols // 2 - 1, self.largest
        longer = ({"length": n * largest["length"], "pairs": min(n * largest["pairs"], most)} for n in (2, 4))
        once = [sizes for n, sizes in enumerate(self._trained) if sizes not in self._trained[:n]]
        return (*once, *longer)

    @property
    def _trained(self) -> tuple[Sizes, ...]:
        sizes = self.sizes or ((self.length, self.pairs),)
        return tuple({"length": length, "pairs": pairs} for length, pairs in sizes)


@cache
def chances(space: int) -> Float[Tensor, "s"]:
    """How likely each of so many gaps is, up to a factor; nobody writes into it."""
    return torch.arange(1, space + 1).double() ** (SHORT - 1)


def interleaved(keys: Int[Tensor, "n"], values: Int[Tensor, "n"]) -> Int[Tensor, "s"]:
    """Each key and its value."""
    return torch.stack([keys, values], dim=1).flatten()


def require_room(length: int, *, shown: int, asked: int) -> None:
    """Refuse a length in which so many pairs and so many questions, two tokens each, have no room.

    Raises:
        ValueError: they have none; pydantic passes the text on as a ConfigError.
    """
    if length < 2 * (shown + asked):
        raise ValueError(
            f"pairs={asked} need a length of {2 * (shown + asked)} or more, not {length}; give fewer, or more tokens."
        )
