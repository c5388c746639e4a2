"""What a task is to the loop: the batches it reads, what they cost, and how its progress is measured."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, final

from everlong.data import ExampleStore, Tokenizer, TokenStore
from everlong.data.chunk import Batch
from everlong.data.synthetic import Rules
from everlong.memory import Memory
from everlong.models.base import Model
from everlong.train.config import TrainConfig
from everlong.train.distribution import World
from everlong.train.learner import Update
from everlong.train.objective import Objective

Material = TokenStore | Rules | ExampleStore
"""What a model is taught from."""

B_co = TypeVar("B_co", bound=Batch, covariant=True)


@final
@dataclass(frozen=True)
class Unit:
    """What bits are counted for."""

    name: str
    unseen: str
    """What is measured, in words."""


BYTE = Unit("byte", unseen="held-out text")


class Reader(Protocol[B_co]):
    """Batches without end, from a place that can be noted and found again."""

    def __next__(self) -> B_co:
        """The next batch of this rank's lanes."""
        ...

    def cursor(self) -> dict[str, int | str]:
        """Where the next batch begins, for every rank alike, as JSON values."""
        ...

    def seek(self, cursor: Mapping[str, object]) -> "Reader[B_co]":
        """Go on where a cursor was taken."""
        ...


@final
@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What unseen text, sequences or examples say about a model."""

    bits: float
    """By which the best weights are known: bits for each byte, or other unit of the task, that had to be predicted."""
    figures: Mapping[str, float] = field(default_factory=dict[str, float])
    """What else was found, by the name it has in the metrics file."""
    remark: str = ""
    """The gist of those figures, in a few words for people."""


@final
@dataclass(frozen=True, kw_only=True)
class Given:
    """Everything that a task is made of."""

    model: Model
    data: Material
    valid: Material | None
    config: TrainConfig
    tokenizer: Tokenizer | None


class Task(ABC):
    """Something to teach a model, with what it is taught from."""

    per: ClassVar[Unit] = BYTE
    """What its bits are counted for."""
    objective: Objective[Any]
    is_measured: bool
    """Whether there is something to measure the model on."""
    done: float = 0.0
    """How much of the run is over, from 0 to 1: told before each update."""

    @property
    @abstractmethod
    def tokenizer(self) -> Tokenizer | None:
        """What is saved beside the model to make its tokens; ``None`` where it reads vectors."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What the model is taught from, as JSON values: a run does not go on with anything else."""

    def keep(self, folder: Path) -> None:
        """Write what a run needs besides, to be resumed and measured: nothing, unless a task says otherwise.

        Raises:
            RunError: the disk is full.
        """
        del folder

    @abstractmethod
    def reader(self, world: World) -> Reader[Any]:
        """The batches of a rank.

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
        """The loss of an update in bits for each unit."""

    @abstractmethod
    def measure(self) -> Measurement:
        """How well the model does now on what it has not seen."""
