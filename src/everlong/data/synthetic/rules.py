"""What the generated tasks share: an episode, how it is asked for, and many of them as a chunk.

An episode is one sequence, drawn by rule: vectors are shown, and at some steps bits are asked for. Its sizes are drawn
first, or given, so that a model can be measured on longer sequences than it was trained on.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from everlong.config import Config
from everlong.data.chunk import Chunk
from everlong.shapes import IGNORE

TRAINED, MEASURED = 0, 1
"""The first number of a key: what is measured is drawn apart from what is trained on."""

Sizes = Mapping[str, int]
"""How large an episode is, by name: ``{"length": 20}``."""


@final
@dataclass(frozen=True, kw_only=True)
class Episode:
    """What is shown, and which bits are asked for: `IGNORE` stands where none are."""

    inputs: Float[Tensor, "t i"]
    targets: Float[Tensor, "t o"]

    @property
    def asked(self) -> Bool[Tensor, "t"]:
        """At which steps bits are asked for."""
        return (self.targets != IGNORE).any(dim=1)


class Rules(Config, ABC):
    """How the episodes of a task are drawn. All randomness comes from the generator that is given."""

    name: ClassVar[str]
    """What the task is called on the command line."""

    @property
    @abstractmethod
    def input_size(self) -> int:
        """Numbers in each vector that is shown."""

    @property
    @abstractmethod
    def output_size(self) -> int:
        """Bits that are asked for at once."""

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


def generator(*key: int) -> torch.Generator:
    """Randomness that follows from a key of non-negative numbers alone."""
    (seed,) = np.random.SeedSequence(key).generate_state(1, np.uint64).tolist()
    return torch.Generator().manual_seed(seed)


def integer(rng: torch.Generator, low: int, high: int) -> int:
    """A number from `low` to `high`, both included, each as likely."""
    return int(torch.randint(low, high + 1, (), generator=rng))


def random_bits(rng: torch.Generator, *shape: int) -> Tensor:
    """Zeros and ones, each as likely."""
    return torch.randint(2, shape, generator=rng).float()


def asked_after(shown: Float[Tensor, "s i"], answer: Float[Tensor, "a o"]) -> Episode:
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
