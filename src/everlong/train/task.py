"""What a task is to the loop: the chunks it reads, what they cost, and how its progress is measured."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol, final

from everlong.data import Chunk
from everlong.memory import Memory
from everlong.train.distribution import World
from everlong.train.learner import Update
from everlong.train.objective import Objective

Unit = Literal["byte", "sequence"]
"""What bits are counted for: a byte of text, or a generated sequence."""


class Reader(Protocol):
    """Chunks without end, from a place that can be noted and found again."""

    def __next__(self) -> Chunk:
        """The next chunk of this rank's lanes."""
        ...

    def cursor(self) -> dict[str, int | str]:
        """Where the next chunk begins, for every rank alike, as JSON values."""
        ...

    def seek(self, cursor: Mapping[str, object]) -> "Reader":
        """Go on where a cursor was taken."""
        ...


@final
@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What unseen text, or unseen sequences, say about a model."""

    bits: float
    """By which the best weights are known: bits for each byte that had to be predicted, or for each sequence."""
    figures: Mapping[str, float] = field(default_factory=dict[str, float])
    """What else was found, by the name it has in the metrics file."""


class Task(ABC):
    """Something to teach a model, with what it is taught from."""

    per: ClassVar[Unit] = "byte"
    """What its bits are counted for."""
    objective: Objective
    is_measured: bool
    """Whether there is something to measure the model on."""

    @abstractmethod
    def reader(self, world: World) -> Reader:
        """The chunks of a rank.

        Raises:
            ConfigError: the lanes cannot be shared among the ranks.
            DataError: the corpus is too short for its lanes.
        """

    @abstractmethod
    def new_memory(self, lanes: int) -> Memory | None:
        """What is carried into the first window; ``None`` where nothing ever is."""

    @abstractmethod
    def require_fitting(self) -> None:
        """Refuse what would fail later, before anything is written.

        Raises:
            ConfigError: the model does not fit the data.
            DataError: texts do not fit the tokenizer, or hold nothing to measure.
        """

    @abstractmethod
    def bits(self, update: Update) -> float:
        """The loss of an update in bits, for each byte of the training text or each sequence."""

    @abstractmethod
    def measure(self) -> Measurement:
        """How well the model does now on what it has not seen."""
