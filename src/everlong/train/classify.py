"""The task of telling a text's label: an encoder's document vector, a linear map, and cross-entropy (`classify`)."""

from collections.abc import Sequence
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from everlong.data import Example, ExampleStore
from everlong.data.labelled import Texts, collate_texts
from everlong.errors import DataError
from everlong.evaluate.classes import evaluate_classes, tell
from everlong.memory import Memory
from everlong.models.base import Model
from everlong.models.classifier import Classifier
from everlong.train.example_task import ExampleTask, new_head
from everlong.train.objective import Objective
from everlong.train.task import Given, Measurement, Unit


@final
class ClassLoss(Objective[Texts]):
    """Loss of the labels of texts, each by itself."""

    entrances = ("guess",)

    model: Classifier

    def forward(
        self, window: Sequence[Texts], memory: Memory | None
    ) -> tuple[Float[Tensor, ""], Memory | None, dict[str, Tensor]]:
        """Loss in nats summed over texts."""
        nats = [F.cross_entropy(self.guess(texts), texts.labels, reduction="sum") for texts in window]
        return torch.stack(nats).sum(), memory, {}

    def guess(self, texts: Texts) -> Float[Tensor, "b c"]:
        """What the classifier makes of some texts, in the precision of training."""
        with self.autocast():
            return tell(self.model, texts)


@final
class Classify(ExampleTask[Texts]):
    """Labelled texts."""

    per = Unit("text", unseen="held-out texts")
    objective: ClassLoss

    def __init__(self, given: Given) -> None:
        assert isinstance(given.data, ExampleStore)
        self.labels = labels_of(given.data)
        classifier = classifier_of(given.model, self.labels, seed=given.config.seed)
        super().__init__(ClassLoss(classifier, precision=given.config.precision), given)

    def require_fitting(self) -> None:
        """Refuse a model of other tokens, and held-out texts whose labels are others.

        Raises:
            ConfigError: as for every task with examples.
            DataError: the labels are not those learned.
        """
        super().require_fitting()
        if self.valid is not None and labels_of(self.valid) != self.labels:
            raise DataError(
                f"the held-out texts have other labels ({', '.join(labels_of(self.valid))}) than those to learn from "
                f"({', '.join(self.labels)}). Make both with the same list of labels."
            )

    def collate(self, examples: list[Example]) -> Texts:
        """The batch of some texts."""
        return collate_texts(examples)

    def measure_examples(self, valid: ExampleStore) -> Measurement:
        """Bits for each label; accuracy and macro-F1."""
        c = self.config
        found = evaluate_classes(
            self.objective.model,
            valid,
            lanes=c.lanes,
            limit=c.eval_examples,
            guess=lambda _, texts: self.objective.guess(texts),
        )
        return Measurement(
            bits=found.bits,
            figures={"valid_accuracy": found.accuracy, "valid_macro_f1": found.macro_f1},
            remark=f"{found.accuracy:.1%} of labels told, macro-F1 {found.macro_f1:.3f}",
        )


def classifier_of(model: Model, labels: tuple[str, ...], *, seed: int) -> Classifier:
    """The model itself if it tells these labels; else its encoder with a new head, which the seed decides."""
    if isinstance(model, Classifier) and model.labels == labels:
        return model
    return new_head(model, lambda encoder: Classifier(encoder, labels), seed=seed)


def labels_of(store: ExampleStore) -> tuple[str, ...]:
    """The names of the labels of labelled texts, by their numbers.

    Raises:
        DataError: the store does not say them.
    """
    if "labels" not in store.about:
        raise DataError(f"{store.folder} does not name its labels. Build the store with about={{'labels': [...]}}.")
    return tuple(str(label) for label in store.about["labels"])
