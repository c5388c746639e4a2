"""How often a classifier is right, over all texts and class by class."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from everlong.data import ExampleStore, example_batches
from everlong.data.labelled import Texts, collate_texts
from everlong.evaluate.mode import evaluating
from everlong.evaluate.reader import ignore
from everlong.models.classifier import Classifier


@final
@dataclass(frozen=True, kw_only=True)
class ClassEvaluation:
    """What a classifier said about some texts."""

    labels: tuple[str, ...]
    counts: Int[Tensor, "c c"]
    """Texts by the label they have (row) and the one that was told (column)."""
    nats: float
    """Negative log-likelihood of all labels together."""

    @property
    def n_texts(self) -> int:
        """Texts read."""
        return int(self.counts.sum())

    @property
    def accuracy(self) -> float:
        """Part of the texts whose label was told."""
        return int(self.counts.diagonal().sum()) / self.n_texts

    @property
    def bits(self) -> float:
        """Bits for each label."""
        return self.nats / math.log(2) / self.n_texts

    @property
    def f1(self) -> dict[str, float]:
        """For each label that a text has or was told, ``2 right / (have + told)``."""
        right, both = self.counts.diagonal(), self.counts.sum(dim=0) + self.counts.sum(dim=1)
        return {label: 2 * int(r) / int(b) for label, r, b in zip(self.labels, right, both, strict=True) if b}

    @property
    def macro_f1(self) -> float:
        """The mean of those: rare labels count as much as common ones."""
        return sum(self.f1.values()) / len(self.f1)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            "n_texts": self.n_texts,
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "bits_per_text": self.bits,
            "f1": self.f1,
        }


def tell(model: Classifier, texts: Texts) -> Float[Tensor, "b c"]:
    """Unnormalised log-probabilities of the classes of some texts."""
    return model(texts.tokens, lengths=texts.lengths, sections=texts.sections)


def evaluate_classes(
    model: Classifier,
    store: ExampleStore,
    *,
    lanes: int,
    limit: int | None = None,
    report: Callable[[int], None] = ignore,
    guess: Callable[[Classifier, Texts], Float[Tensor, "b c"]] = tell,
) -> ClassEvaluation:
    """Read labelled texts, `limit` of them spread evenly over all, and count. Reports how many were read.

    Raises:
        ConfigError: ``lanes`` or ``limit`` is less than 1.
    """
    labels = model.labels
    counts = torch.zeros(len(labels) ** 2, dtype=torch.int64)
    nats, done = 0.0, 0
    with evaluating(model), torch.no_grad():
        for part in example_batches(store, lanes=lanes, limit=limit):
            texts = collate_texts(part).to(model.device)
            logits = guess(model, texts)
            nats += float(F.cross_entropy(logits.double(), texts.labels, reduction="sum"))
            pairs = texts.labels * len(labels) + logits.argmax(dim=-1)
            counts += torch.bincount(pairs.cpu(), minlength=len(counts))
            done += texts.n_targets
            report(done)
    return ClassEvaluation(labels=labels, counts=counts.view(len(labels), -1), nats=nats)
