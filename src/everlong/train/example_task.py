"""Tasks with examples of their own: each is read as a whole, and nothing is carried from one to the next.

A child says how examples become a batch, what the batch costs (its objective), and how held-out ones are measured.
"""

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch

from everlong.data import Example, ExampleReader, ExampleStore, Tokenizer
from everlong.data.chunk import Batch
from everlong.errors import ConfigError, DataError
from everlong.models import Encoder
from everlong.models.base import Model
from everlong.models.headed import HeadedEncoder
from everlong.train.config import TrainConfig
from everlong.train.distribution import World
from everlong.train.learner import Update
from everlong.train.objective import Objective
from everlong.train.task import Given, Measurement, Task
from everlong.train.text_tasks import require_vocabulary

B = TypeVar("B", bound=Batch)
H = TypeVar("H", bound=HeadedEncoder)


class ExampleTask(Task, Generic[B]):
    """Examples to learn from, maybe others to measure on, and the tokenizer that made both."""

    def __init__(self, objective: Objective[B], given: Given) -> None:
        self.objective, self.is_measured = objective, given.valid is not None
        self.data, self.valid, self._tokenizer = _examples(given)
        self.config: TrainConfig = given.config

    @property
    def tokenizer(self) -> Tokenizer:
        """What made the examples' tokens."""
        return self._tokenizer

    @abstractmethod
    def collate(self, examples: list[Example]) -> B:
        """The batch of some examples, one a lane."""

    @abstractmethod
    def measure_examples(self, valid: ExampleStore) -> Measurement:
        """How well the model does now on held-out examples."""

    def facts(self) -> dict[str, Any]:
        """Number and checksum of the examples, and what the task says about them."""
        return {"n_examples": len(self.data), "examples": self.data.digest, "about": dict(self.data.about)}

    def reader(self, world: World) -> ExampleReader[B]:
        """Epochs without end."""
        c = self.config
        return ExampleReader(self.data, self.collate, lanes=c.lanes, seed=c.seed, rank=world.rank, world=world.size)

    def new_memory(self, lanes: int) -> None:
        """Nothing."""
        del lanes

    def require_fitting(self) -> None:
        """Refuse a model of other tokens, and examples to measure that are of another kind.

        Raises:
            ConfigError: the model's vocabulary is smaller than the tokenizer's, or it reads or answers vectors.
            DataError: the examples to measure have other sequences.
        """
        require_vocabulary(self.objective.model, self.config, self.tokenizer)
        if self.valid is not None and self.valid.fields != self.data.fields:
            raise DataError(
                f"the examples to measure have {', '.join(self.valid.fields)}, those to learn from have "
                f"{', '.join(self.data.fields)}. Build both in the same way."
            )

    def bits(self, update: Update) -> float:
        """Bits for each target."""
        return update.loss / math.log(2)

    def measure(self) -> Measurement:
        """How well the model does now on held-out examples."""
        assert self.valid is not None
        return self.measure_examples(self.valid)


def new_head(model: Model, put: Callable[[Encoder], H], *, seed: int) -> H:
    """The encoder of a model, without a head that it may have, with a new one, whose weights the seed decides."""
    assert isinstance(model.backbone, Encoder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return put(model.backbone)


def _examples(given: Given) -> tuple[ExampleStore, ExampleStore | None, Tokenizer]:
    assert isinstance(given.data, ExampleStore)
    assert isinstance(given.valid, ExampleStore | None)
    if given.tokenizer is None:
        raise ConfigError(
            f"task={given.config.task} was given examples without a tokenizer. Give the one that made their tokens."
        )
    return given.data, given.valid, given.tokenizer
