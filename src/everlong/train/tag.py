"""The task of telling tags of words: an encoder's hidden states, a linear map, and cross-entropy (`tag`)."""

from collections.abc import Sequence
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from everlong.data import Example, ExampleStore
from everlong.data.tag_windows import TagBatch, collate_tags
from everlong.errors import DataError
from everlong.evaluate.entities import evaluate_entities, tell_tags
from everlong.memory import Memory
from everlong.models.base import Model
from everlong.models.tagger import Tagger
from everlong.shapes import IGNORE
from everlong.train.example_task import ExampleTask, new_head
from everlong.train.objective import Objective
from everlong.train.task import Given, Measurement, Unit


@final
class TagLoss(Objective[TagBatch]):
    """Loss of the tags of words, each by itself."""

    entrances = ("guess",)

    model: Tagger

    def forward(
        self, window: Sequence[TagBatch], memory: Memory | None
    ) -> tuple[Float[Tensor, ""], Memory | None, dict[str, Tensor]]:
        """Loss in nats summed over words."""
        nats = [
            F.cross_entropy(
                self.guess(texts).flatten(0, 1), texts.targets.flatten(), ignore_index=IGNORE, reduction="sum"
            )
            for texts in window
        ]
        return torch.stack(nats).sum(), memory, {}

    def guess(self, texts: TagBatch) -> Float[Tensor, "b t c"]:
        """What the tagger makes of some texts, in the precision of training."""
        with self.autocast():
            return tell_tags(self.model, texts)


@final
class Tag(ExampleTask[TagBatch]):
    """Texts with tagged words."""

    per = Unit("word", unseen="held-out texts")
    objective: TagLoss

    def __init__(self, given: Given) -> None:
        assert isinstance(given.data, ExampleStore)
        self.types = types_of(given.data)
        tagger = tagger_of(given.model, self.types, seed=given.config.seed)
        super().__init__(TagLoss(tagger, precision=given.config.precision), given)

    def require_fitting(self) -> None:
        """Refuse a model of other tokens, and held-out texts whose entities are of other types.

        Raises:
            ConfigError: as for every task with examples.
            DataError: the types are not those learned.
        """
        super().require_fitting()
        if self.valid is not None and types_of(self.valid) != self.types:
            raise DataError(
                f"the held-out texts have entities of other types ({', '.join(types_of(self.valid))}) than those to "
                f"learn from ({', '.join(self.types)}). Make both with the same list of types."
            )

    def collate(self, examples: list[Example]) -> TagBatch:
        """The batch of some windows."""
        return collate_tags(examples)

    def measure_examples(self, valid: ExampleStore) -> Measurement:
        """Bits for each word; precision, recall and F1 of entities."""
        c = self.config
        found = evaluate_entities(
            self.objective.model,
            valid,
            lanes=c.lanes,
            limit=c.eval_examples,
            guess=lambda _, texts: self.objective.guess(texts),
        )
        counted = found.all
        return Measurement(
            bits=found.bits,
            figures={"valid_precision": counted.precision, "valid_recall": counted.recall, "valid_f1": counted.f1},
            remark=f"entity F1 {counted.f1:.3f}",
        )


def tagger_of(model: Model, types: tuple[str, ...], *, seed: int) -> Tagger:
    """The model itself if it tells these types; else its encoder with a new head, which the seed decides."""
    if isinstance(model, Tagger) and model.types == types:
        return model
    return new_head(model, lambda encoder: Tagger(encoder, types), seed=seed)


def types_of(store: ExampleStore) -> tuple[str, ...]:
    """The types of entities of tagged texts, by their numbers.

    Raises:
        DataError: the store does not say them.
    """
    if "types" not in store.about:
        raise DataError(
            f"{store.folder} does not name its types of entities. Build the store with about={{'types': [...]}}."
        )
    return tuple(str(kind) for kind in store.about["types"])
