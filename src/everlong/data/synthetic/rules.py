"""What the generated tasks share: an episode, how it is asked for, and many of them as a chunk.

An episode is one sequence, drawn by rule: vectors are shown, and at some steps answers are asked for. Its sizes are
drawn first, or given, so that a model can be measured on longer sequences than it was trained on.

An answer is a bit, or one of `choices`. A model gives a logit for each bit (its sigmoid is the chance of a one), or so
many logits in a row for each choice (softmax).

Some tasks are of tokens (`TokenRules`): tokens are shown, and the answer at a step is one of all tokens.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self, final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from everlong.config import Config
from everlong.data.chunk import Chunk
from everlong.shapes import IGNORE

TRAINED, MEASURED = 0, 1
"""The first number of a key: what is measured is drawn apart from what is trained on."""

POWERS = torch.tensor([0, *(2**n for n in range(63))])
"""Zero and the powers of two."""

Sizes = Mapping[str, int]
"""How large an episode is, by name: ``{"length": 20}``."""


@final
@dataclass(frozen=True, kw_only=True)
class Episode:
    """What is shown, and the answers that are asked for: `IGNORE` stands where none are."""

    inputs: Float[Tensor, "t i"] | Int[Tensor, "t"]
    """Vectors, or tokens."""
    targets: Float[Tensor, "t q"] | Int[Tensor, "t"]
    """Bits, or the numbers of the right choices, counted from 0; or tokens."""
    marks: Int[Tensor, "t"] | None = None
    """From 1 on: which kind of question each step asks, if that is told apart."""

    @property
    def asked(self) -> Bool[Tensor, "t"]:
        """At which steps answers are asked for."""
        return (self.targets != IGNORE).view(len(self.targets), -1).any(dim=1)


class Rules(Config, ABC):
    """How the episodes of a task are drawn. All randomness comes from the generator that is given."""

    name: ClassVar[str]
    """What the task is called on the command line."""
    mark: ClassVar[str] = ""
    """What the marks of its episodes count, if they have any."""

    @property
    @abstractmethod
    def input_size(self) -> int:
        """Numbers in each vector that is shown."""

    @property
    @abstractmethod
    def output_size(self) -> int:
        """Logits that answer at once: one for each bit, or `choices` for each choice."""

    @property
    def choices(self) -> int:
        """Among how many each answer is chosen; 0 where answers are bits."""
        return 0

    @property
    def model_sizes(self) -> dict[str, int]:
        """Fields of a model that follow from the task."""
        return {"input_size": self.input_size, "output_size": self.output_size}

    @property
    def unit(self) -> Literal["bits", "answers"]:
        """What is counted: bits, or answers that are choices."""
        return "answers" if self.choices else "bits"

    @abstractmethod
    def draw_sizes(self, rng: torch.Generator) -> Sizes:
        """The sizes of an episode to train on."""

    @abstractmethod
    def draw(self, rng: torch.Generator, sizes: Sizes) -> Episode:
        """An episode of these sizes."""

    @abstractmethod
    def trials(self) -> tuple[Sizes, ...]:
        """Sizes at which it shows what was learned: fixed ones, the hardest, beyond those of training, last."""

    @property
    def largest(self) -> Sizes:
        """The largest sizes of training: those of the first trial, unless a task says otherwise."""
        return self.trials()[0]

    def shown_at(self, episode: Episode) -> dict[int, int]:
        """For each step that asks for a vector which was shown, the step that showed it; none, unless a task copies."""
        del episode
        return {}

    def least_bits(self, episode: Episode) -> float | None:
        """Bits that the best possible guesses need for an episode; ``None`` where nothing has to be guessed."""
        del episode
        return None

    def measured(self) -> Self:
        """The rules of the episodes that are measured: the same, unless those are drawn from something else."""
        return self

    def sources(self) -> dict[str, str]:
        """Digests of what the episodes are drawn from besides chance, by name."""
        return {}

    def keep(self, folder: Path) -> None:
        """Write what the episodes are drawn from to the folder of a run.

        Raises:
            RunError: the disk is full.
        """
        del folder

    def kept_in(self, folder: Path) -> Self:
        """The same rules, with what `keep` wrote.

        Raises:
            DamagedFile: it is missing or altered.
            DataError: it does not suffice for these rules.
        """
        del folder
        return self


class TokenRules(Rules):
    """How the episodes of a task of tokens are drawn. An answer is asked for at a step itself, not one step later."""

    mark = "distance"
    """The mark of an answer is how many tokens before it stands what it depends on, rounded up to a power of two."""

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Tokens that are shown and answered, from 0."""

    @property
    def input_size(self) -> int:
        """No vectors."""
        return 0

    @property
    def output_size(self) -> int:
        """No vectors."""
        return 0

    @property
    def choices(self) -> int:
        """An answer may be any token."""
        return self.vocab_size

    @property
    def model_sizes(self) -> dict[str, int]:
        """The vocabulary."""
        return {"vocab_size": self.vocab_size}


def rounded_up(distances: Int[Tensor, "t"]) -> Int[Tensor, "t"]:
    """The smallest power of two that is no less than each distance; 0 stays 0.

    >>> rounded_up(torch.tensor([0, 1, 2, 3, 64, 65])).tolist()
    [0, 1, 2, 4, 64, 128]
    """
    return POWERS[torch.bucketize(distances, POWERS)]


def generator(*key: int) -> torch.Generator:
    """Randomness that follows from a key of non-negative numbers alone."""
    (seed,) = np.random.SeedSequence(key).generate_state(1, np.uint64).tolist()
    return torch.Generator().manual_seed(seed)


def integer(rng: torch.Generator, low: int, high: int) -> int:
    """A number from `low` to `high`, both included, each as likely."""
    return int(torch.randint(low, high + 1, (), generator=rng))


def distinct(rng: torch.Generator, count: int, *, below: int) -> Int[Tensor, "n"]:
    """So many different numbers from 0 on and below a bound, each choice and each order as likely.

    Few of many are drawn until they differ: that takes no list of all of them.
    """
    if 4 * count > below:
        return torch.randperm(below, generator=rng)[:count]
    found: dict[int, None] = {}
    while len(found) < count:
        found |= dict.fromkeys(torch.randint(below, (count,), generator=rng).tolist())
    return torch.tensor(list(found)[:count])


def random_bits(rng: torch.Generator, *shape: int) -> Tensor:
    """Zeros and ones, each as likely."""
    return torch.randint(2, shape, generator=rng).float()


def asked_after(shown: Float[Tensor, "s i"], answer: Float[Tensor, "a q"]) -> Episode:
    """An episode in which the answer is asked for, in silence, when everything has been shown."""
    return Episode(
        inputs=torch.cat([shown, shown.new_zeros(len(answer), shown.shape[1])]),
        targets=torch.cat([answer.new_full((len(shown), answer.shape[1]), IGNORE), answer]),
    )


def collate(episodes: Sequence[Episode]) -> Chunk:
    """Episodes side by side, one a lane, padded on the right: a document each."""
    inputs = pad_sequence([episode.inputs for episode in episodes], batch_first=True)
    starts = torch.zeros(inputs.shape[:2], dtype=torch.bool)
    starts[:, 0] = True
    return Chunk(
        tokens=inputs,
        targets=pad_sequence([episode.targets for episode in episodes], batch_first=True, padding_value=IGNORE),
        starts=starts,
        lengths=torch.tensor([len(episode.inputs) for episode in episodes]),
    )


def require_order(sizes: Mapping[str, int]) -> None:
    """Refuse a smallest size that is larger than the largest.

    Raises:
        ValueError: it is; pydantic passes the text on as a ConfigError.
    """
    (least, low), (most, high) = sizes.items()
    if low > high:
        raise ValueError(f"{least}={low} is more than {most}={high}; give them the other way round.")
