"""Copy and repeat copy (Graves, Wayne & Danihelka, 2014, arXiv:1410.5401, sections 4.1 and 4.2).

copy          L vectors of random bits, a flag, silence; asked for: the vectors.
repeat copy   L vectors, a flag beside the number of copies, silence; asked for: the vectors so many times, then a bit
              on a channel of its own that ends the answer and is 0 before.

The number of copies is shifted and scaled to mean 0 and variance 1 over those of training, as in the paper. It has a
flag beside it, because a number at the mean is 0, which could not be told from silence.
"""

from typing import Self, final

import torch
from pydantic import Field, model_validator

from everlong.data.synthetic.rules import Episode, Rules, Sizes, asked_after, integer, random_bits, require_order


@final
class Copy(Rules):
    """Say again what was shown."""

    name = "copy"

    min_length: int = Field(default=1, ge=1)
    max_length: int = Field(default=20, ge=1)
    """Vectors of an episode, as many as not."""
    bits: int = Field(default=8, ge=1)
    """Bits of a vector."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        require_order({"min_length": self.min_length, "max_length": self.max_length})
        return self

    @property
    def input_size(self) -> int:
        """The bits and a flag."""
        return self.bits + 1

    @property
    def output_size(self) -> int:
        """The bits."""
        return self.bits

    def draw_sizes(self, rng: torch.Generator) -> Sizes:
        """Every length as likely."""
        return {"length": integer(rng, self.min_length, self.max_length)}

    def draw(self, rng: torch.Generator, sizes: Sizes) -> Episode:
        """Vectors, a flag, silence."""
        vectors = random_bits(rng, sizes["length"], self.bits)
        shown = torch.zeros(sizes["length"] + 1, self.input_size)
        shown[:-1, : self.bits], shown[-1, self.bits] = vectors, 1
        return asked_after(shown, vectors)

    @property
    def largest(self) -> Sizes:
        """The longest."""
        return {"length": self.max_length}

    def shown_at(self, episode: Episode) -> dict[int, int]:
        """The first vector is asked for after all of them and a flag; the others follow."""
        length = int(episode.asked.sum())
        return {length + 1 + n: n for n in range(length)}

    def trials(self) -> tuple[Sizes, ...]:
        """Half the longest length of training, and one to six times as much."""
        return tuple({"length": -(-self.max_length * times // 2)} for times in (1, 2, 4, 6, 8, 10, 12))


@final
class RepeatCopy(Rules):
    """Say again what was shown, so many times, and that this was all."""

    name = "repeat-copy"

    min_length: int = Field(default=1, ge=1)
    max_length: int = Field(default=10, ge=1)
    """Vectors of an episode."""
    min_repeats: int = Field(default=1, ge=1)
    max_repeats: int = Field(default=10, ge=1)
    """Copies that are asked for."""
    bits: int = Field(default=8, ge=1)
    """Bits of a vector."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        require_order({"min_length": self.min_length, "max_length": self.max_length})
        require_order({"min_repeats": self.min_repeats, "max_repeats": self.max_repeats})
        return self

    @property
    def input_size(self) -> int:
        """The bits, a flag and the number of copies."""
        return self.bits + 2

    @property
    def output_size(self) -> int:
        """The bits, and the one that ends the answer."""
        return self.bits + 1

    def draw_sizes(self, rng: torch.Generator) -> Sizes:
        """Every length and every number of copies as likely."""
        return {
            "length": integer(rng, self.min_length, self.max_length),
            "repeats": integer(rng, self.min_repeats, self.max_repeats),
        }

    def draw(self, rng: torch.Generator, sizes: Sizes) -> Episode:
        """Vectors, a flag with the number of copies, silence."""
        length, repeats = sizes["length"], sizes["repeats"]
        vectors = random_bits(rng, length, self.bits)
        shown = torch.zeros(length + 1, self.input_size)
        shown[:-1, : self.bits] = vectors
        shown[-1, self.bits :] = torch.tensor([1.0, self.normalised(repeats)])
        answer = torch.zeros(length * repeats + 1, self.output_size)
        answer[:-1, : self.bits], answer[-1, self.bits] = vectors.repeat(repeats, 1), 1
        return asked_after(shown, answer)

    def shown_at(self, episode: Episode) -> dict[int, int]:
        """The vectors are asked for after all of them and a flag, again and again; the bit that ends was not shown."""
        answers = int(episode.asked.sum())
        length = len(episode.inputs) - answers - 1
        return {length + 1 + n: n % length for n in range(answers - 1)}

    def normalised(self, repeats: int) -> float:
        """A number of copies with mean 0 and variance 1 over those of training."""
        numbers = torch.arange(self.min_repeats, self.max_repeats + 1, dtype=torch.float64)
        spread = float(numbers.std(correction=0)) if len(numbers) > 1 else 1.0
        return (repeats - float(numbers.mean())) / spread

    def trials(self) -> tuple[Sizes, ...]:
        """The largest sizes of training; then twice as long; then twice as often."""
        length, repeats = self.max_length, self.max_repeats
        return (
            {"length": length, "repeats": repeats},
            {"length": 2 * length, "repeats": repeats},
            {"length": length, "repeats": 2 * repeats},
        )
