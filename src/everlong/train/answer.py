"""``answer``: where in a text the answer to a question begins and where it ends, by cross-entropy over the tokens."""

from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from everlong.data import Example, ExampleStore
from everlong.data.asked import AnswerOptions, AskedBatch, collate_asked
from everlong.errors import DataError
from everlong.evaluate.spans import evaluate_spans, point, span_losses
from everlong.memory import Memory
from everlong.models.answerer import Answerer
from everlong.models.base import Model
from everlong.train.example_task import ExampleTask, new_head
from everlong.train.objective import Objective
from everlong.train.task import Given, Measurement, Unit


@final
class SpanLoss(Objective[AskedBatch]):
    """Loss of the answers of windows: nats of the first token, and of the last one."""

    entrances = ("point",)

    model: Answerer

    def forward(
        self, window: Sequence[AskedBatch], memory: Memory | None
    ) -> tuple[Float[Tensor, ""], Memory | None, dict[str, Tensor]]:
        """Loss in nats summed over windows."""
        nats = [span_losses(self.point(batch), batch).sum() for batch in window]
        return torch.stack(nats).sum(), memory, {}

    def point(self, batch: AskedBatch) -> Float[Tensor, "b t 2"]:
        """What the model makes of some windows, in the precision of training."""
        with self.autocast():
            return point(self.model, batch)


@final
class AnswerTask(ExampleTask[AskedBatch]):
    """Questions about texts, window by window."""

    per = Unit("window", unseen="held-out windows")
    objective: SpanLoss

    def __init__(self, given: Given) -> None:
        answerer = answerer_of(given.model, seed=given.config.seed)
        super().__init__(SpanLoss(answerer, precision=given.config.precision), given)
        self._reading, self._declines = reading_of(self.data.about)

    def collate(self, examples: list[Example]) -> AskedBatch:
        """The batch of some windows."""
        return collate_asked(examples)

    def measure_examples(self, valid: ExampleStore) -> Measurement:
        """Bits for each window, and how many questions are answered in the very tokens of an answer."""
        c = self.config
        found = evaluate_spans(
            self.objective.model,
            valid,
            lanes=c.lanes,
            limit=c.eval_examples,
            longest=self._reading.longest_answer,
            declines=self._declines,
            point=self.objective.point,
        )
        part = found.right / found.n_questions
        return Measurement(
            bits=found.bits, figures={"valid_exact": part}, remark=f"{part:.1%} of questions answered exactly"
        )


def answerer_of(model: Model, *, seed: int) -> Answerer:
    """The model itself if it answers questions; else its encoder with a new head, which the seed decides."""
    if isinstance(model, Answerer):
        return model
    return new_head(model, Answerer, seed=seed)


def reading_of(about: Mapping[str, Any], **changes: Any) -> tuple[AnswerOptions, bool]:
    """How texts are read by a model that learned from examples of which a store says this, and whether it may decline.

    Raises:
        ConfigError: a change does not fit.
        DataError: the store does not say it.
    """
    if not {"options", "longest_answer", "unanswerable"} <= about.keys():
        raise DataError(
            "these examples do not say how their questions were read. Build the store with "
            "everlong.data.asked.build_asked."
        )
    options = AnswerOptions.parse({**about["options"], **changes})
    longest = options.longest_answer or max(about["longest_answer"], 1)
    return options.replace(longest_answer=longest), bool(about["unanswerable"])
