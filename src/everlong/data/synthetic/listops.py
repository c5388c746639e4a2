"""ListOps (Nangia & Bowman, 2018, arXiv:1804.06028), drawn as for the Long Range Arena (Tay et al., 2021,
arXiv:2011.04006, section 2.2.1, and the generator published with it).

    [MAX 4 3 [MIN 2 3 ] 1 0 [MED 1 5 8 9 2 ] ] =      shown
                                               5      asked for

A tree is a digit with chance 3/4, otherwise one of four operations on 2 to `max_args` trees; below `max_depth` - 1
operations there are only digits. MIN, MAX and SM, the sum modulo 10, are what they say; MED is the median, rounded
down. Trees are drawn until one has more than a quarter of `length` tokens and fewer than `length`, as many as in the
Arena, where `length` is 2000. The sign of equality, which asks, is not counted there and is not in the Arena, which
reads the whole and then answers.
"""

import random
from collections.abc import Callable
from statistics import median
from typing import ClassVar, Self, final

import torch
from pydantic import Field, model_validator

from everlong.data.synthetic.hiding import asking
from everlong.data.synthetic.rules import Episode, Sizes, TokenRules, integer
from everlong.errors import ConfigError

OPERATIONS: dict[str, Callable[[list[int]], int]] = {
    "[MIN": min,
    "[MAX": max,
    "[MED": lambda values: int(median(values)),
    "[SM": lambda values: sum(values) % 10,
}
SYMBOLS = (*map(str, range(10)), *OPERATIONS, "]", "=")
"""What the tokens stand for: a digit is its own token."""
END, ASK = SYMBOLS.index("]"), SYMBOLS.index("=")
OPERATION = 0.25
"""Chance of an operation."""
TRIES = 100_000
"""Trees that are drawn before it is given up to find one of a length; a hundredth must do when the rules are made."""


@final
class ListOps(TokenRules):
    """Say the value of nested operations on digits."""

    name = "listops"
    mark: ClassVar[str] = "nesting"
    """The mark of an answer is how many operations lie within one another, at most."""

    length: int = Field(default=64, ge=8)
    """Tokens of a sequence, at most."""
    max_depth: int = Field(default=10, ge=2, le=50)
    """Levels of a tree, that of the deepest digits included."""
    max_args: int = Field(default=10, ge=2, le=100)
    """Values that an operation is done on, at most."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for sizes in self.trials():
            if self.find(random.Random(0), sizes["length"], tries=TRIES // 100) is None:
                shortest, longest = sizes["length"] // 4, sizes["length"]
                raise ValueError(
                    f"length={self.length} is measured up to four times as long, and trees of {shortest} to {longest} "
                    f"tokens are too rare with max_depth={self.max_depth} and max_args={self.max_args}; "
                    "give a smaller length or larger trees."
                )
        return self

    @property
    def vocab_size(self) -> int:
        """Digits, operations, their end and the sign that asks."""
        return len(SYMBOLS)

    def draw_sizes(self, rng: torch.Generator) -> Sizes:
        """Always the same."""
        del rng
        return {"length": self.length}

    def draw(self, rng: torch.Generator, sizes: Sizes) -> Episode:
        """A tree and a question.

        Raises:
            ConfigError: no tree of such a length is found.
        """
        tree = self.find(random.Random(integer(rng, 0, 2**62)), sizes["length"], tries=TRIES)
        if tree is None:
            raise ConfigError(f"none of {TRIES:,} trees had about {sizes['length']} tokens. Give a smaller length.")
        tokens, value, nesting = tree
        return asking([*tokens, ASK], [(len(tokens), value, nesting)])

    def trials(self) -> tuple[Sizes, ...]:
        """As long as in training, twice and four times as long."""
        return tuple({"length": times * self.length} for times in (1, 2, 4))

    def find(self, rng: random.Random, length: int, *, tries: int) -> tuple[list[int], int, int] | None:
        """Tokens, value and nesting of a tree; ``None`` where none has the length."""
        for _ in range(tries):
            tokens = list[int]()
            value, nesting = self.grow(rng, tokens, depth=1, room=length)
            if length // 4 < len(tokens) < length:
                return tokens, value, nesting
        return None

    def grow(self, rng: random.Random, tokens: list[int], *, depth: int, room: int) -> tuple[int, int]:
        """Append a tree to some tokens; its value and nesting. Nothing is grown where there is no room any more."""
        if len(tokens) >= room:
            return 0, 0
        if depth == self.max_depth or rng.random() >= OPERATION:
            tokens.append(rng.randrange(10))
            return tokens[-1], 0
        operation = rng.choice(list(OPERATIONS))
        tokens.append(SYMBOLS.index(operation))
        arguments = [self.grow(rng, tokens, depth=depth + 1, room=room) for _ in range(rng.randint(2, self.max_args))]
        tokens.append(END)
        values, nestings = zip(*arguments, strict=True)
        return OPERATIONS[operation](list(values)), 1 + max(nestings)
