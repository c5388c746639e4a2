"""``translate`` and ``summarize``: a target from its source, for encoder-decoders; measured in bits per target byte."""

import math
from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from everlong.data import Example, ExampleStore
from everlong.data.pair_store import PairBatch, collate_pairs, edge_token
from everlong.evaluate.pairs import bits_per_target_byte, pair_losses
from everlong.memory import Memory
from everlong.models import Seq2Seq
from everlong.models.seq2seq import AnySeq2Seq
from everlong.shapes import Losses
from everlong.train.example_task import ExampleTask
from everlong.train.learner import Update
from everlong.train.objective import Objective
from everlong.train.task import Given, Measurement


@final
class PairLoss(Objective[PairBatch]):
    """Loss of the targets, each from its source and the tokens before it (teacher forcing)."""

    entrances = ("losses",)

    model: AnySeq2Seq

    def forward(
        self, window: Sequence[PairBatch], memory: Memory | None
    ) -> tuple[Float[Tensor, ""], Memory | None, dict[str, Tensor]]:
        """Loss in nats summed over target tokens."""
        return torch.stack([self.losses(batch).sum() for batch in window]).sum(), memory, {}

    def losses(self, batch: PairBatch) -> Losses:
        """Nats of every target token, in the precision of training."""
        with self.autocast():
            return pair_losses(self.model, batch)


@final
class TextPairs(ExampleTask[PairBatch]):
    """Pairs of texts: translations or summaries of the first of each."""

    objective: PairLoss

    def __init__(self, given: Given) -> None:
        assert isinstance(given.model, Seq2Seq)
        self._model = given.model
        super().__init__(PairLoss(given.model, precision=given.config.precision), given)
        self._edge = edge_token(self.tokenizer)

    def collate(self, examples: list[Example]) -> PairBatch:
        """Pairs side by side."""
        return collate_pairs(examples, edge=self._edge)

    def bits(self, update: Update) -> float:
        """Bits for each byte of the targets."""
        about = self.data.about
        return update.loss / math.log(2) * about["target_tokens"] / about["target_bytes"]

    def measure_examples(self, valid: ExampleStore) -> Measurement:
        """Bits for each byte of the held-out targets."""
        c = self.config
        bits = bits_per_target_byte(
            self._model, valid, self.tokenizer, lanes=c.lanes, limit=c.eval_examples, losses=self.objective.losses
        )
        return Measurement(bits=bits)
