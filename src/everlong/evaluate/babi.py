"""How well questions about stories are answered, by task.

A question is right when every word of its answer is the likeliest one. A task counts as failed when more than 5 % of
its questions are wrong, and the mean error is that of the tasks (Graves et al., 2016).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from everlong.data import Chunk, ExampleStore, example_batches
from everlong.data.babi import collate_stories
from everlong.evaluate.mode import evaluating
from everlong.evaluate.reader import ignore
from everlong.models.base import AnyLanguageModel
from everlong.shapes import IGNORE, Logits

FAILED = 0.05
"""Error above which a task counts as failed."""


@final
@dataclass(frozen=True, kw_only=True)
class TaskAnswers:
    """What the questions of one task cost."""

    task: int
    title: str
    n_questions: int
    n_wrong: int
    nats: float
    """Negative log-likelihood of all words of all answers together."""

    @property
    def error(self) -> float:
        """Part of the questions that are wrong."""
        return self.n_wrong / self.n_questions

    @property
    def failed(self) -> bool:
        """Whether that is too much."""
        return self.error > FAILED

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            "task": self.task,
            "title": self.title,
            "error": self.error,
            "failed": self.failed,
            "n_questions": self.n_questions,
            "n_wrong": self.n_wrong,
        }


@final
@dataclass(frozen=True, kw_only=True)
class StoryAnswers:
    """What the questions of all tasks cost."""

    tasks: tuple[TaskAnswers, ...]

    @property
    def mean_error(self) -> float:
        """Mean of the errors of the tasks."""
        return sum(task.error for task in self.tasks) / len(self.tasks)

    @property
    def n_failed(self) -> int:
        """How many tasks failed."""
        return sum(task.failed for task in self.tasks)

    @property
    def bits_per_answer(self) -> float:
        """Bits that the model needs for an answer, over all tasks."""
        return sum(task.nats for task in self.tasks) / math.log(2) / sum(task.n_questions for task in self.tasks)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            "mean_error": self.mean_error,
            "n_failed": self.n_failed,
            "bits_per_answer": self.bits_per_answer,
            "tasks": [task.to_dict() for task in self.tasks],
        }


def story_logits(model: AnyLanguageModel, chunk: Chunk) -> Logits:
    """What a model answers at every place; each story begins with an empty memory.

    What follows a story is neither scored nor remembered, so that the padding may be read: all lanes end together.
    """
    return model(chunk.tokens)[0]


def evaluate_stories(
    model: AnyLanguageModel,
    store: ExampleStore,
    *,
    lanes: int,
    limit: int | None = None,
    report: Callable[[int], None] = ignore,
    answer: Callable[[AnyLanguageModel, Chunk], Logits] = story_logits,
) -> StoryAnswers:
    """Errors and bits of the questions of all stories, or of `limit` of them spread evenly over all.

    `report` is called with the number of stories read so far. `answer` reads a chunk; weights that are shared among
    processes need another way.

    Raises:
        ConfigError: ``lanes`` or ``limit`` is less than 1.
    """
    found: dict[int, NDArray[np.float64]] = {}
    done = 0
    with evaluating(model), torch.no_grad():
        for examples in example_batches(store, lanes=lanes, limit=limit):
            chunk = collate_stories(examples).to(model.device)
            losses, right = answer_losses(answer(model, chunk), chunk.targets)
            asked = (chunk.targets != IGNORE).cpu().numpy()
            for lane, example in enumerate(examples):
                counts = found.setdefault(int(example["task"][0]), np.zeros(3))
                counts += _count(losses[lane].numpy(), right[lane].numpy(), asked[lane])
            report(done := done + len(examples))
    titles = store.about["tasks"]
    return StoryAnswers(
        tasks=tuple(
            TaskAnswers(task=task, title=titles[str(task)], n_questions=int(n), n_wrong=int(wrong), nats=float(nats))
            for task, (n, wrong, nats) in sorted(found.items())
        )
    )


def answer_losses(logits: Logits, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Loss ``[b t]`` in nats of each word that is asked for, 0 elsewhere, and where it is the likeliest one."""
    exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
    losses = F.cross_entropy(exact.flatten(0, 1), targets.flatten(), reduction="none", ignore_index=IGNORE)
    return losses.view_as(targets).double().cpu(), (logits.argmax(dim=-1) == targets).cpu()


def _count(losses: NDArray[np.float64], right: NDArray[np.bool_], asked: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Questions, wrong ones and nats of a story. The words of an answer stand side by side, those of two never do."""
    begins = asked & ~np.concatenate([[False], asked[:-1]])
    question = begins.cumsum()[asked & ~right]
    return np.array([begins.sum(), len(np.unique(question)), losses.sum()])
