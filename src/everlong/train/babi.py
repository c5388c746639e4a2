"""``babi``: questions about stories, for language models. Each story is read from an empty memory."""

import math
from typing import ClassVar, final

from everlong.data import Chunk, Example, ExampleStore
from everlong.data.babi import collate_stories
from everlong.data.words import WordTokenizer
from everlong.errors import ConfigError
from everlong.evaluate.babi import evaluate_stories, story_logits
from everlong.models import LanguageModel
from everlong.models.base import AnyLanguageModel
from everlong.shapes import Logits
from everlong.train.asked_loss import AskedLoss
from everlong.train.example_task import ExampleTask
from everlong.train.learner import Update
from everlong.train.task import Given, Measurement, Unit

ANSWER = Unit("answer", unseen="held-out questions")


@final
class StoryLoss(AskedLoss):
    """Loss of the words that are asked for."""

    entrances = ("answers",)

    def answers(self, chunk: Chunk) -> Logits:
        """What the model answers at every place, in the precision of training."""
        with self.autocast():
            return story_logits(self.model, chunk)


@final
class Babi(ExampleTask[Chunk]):
    """Stories to learn from, and others to measure."""

    per: ClassVar[Unit] = ANSWER
    objective: StoryLoss

    def __init__(self, given: Given) -> None:
        assert isinstance(given.model, LanguageModel)
        self._model: AnyLanguageModel = given.model
        super().__init__(StoryLoss(given.model, precision=given.config.precision), given)

    def require_fitting(self) -> None:
        """Refuse other tokens than words.

        Raises:
            ConfigError: the tokenizer is of another kind, or the model does not fit it.
            DataError: the stories to measure have other sequences.
        """
        if not isinstance(self.tokenizer, WordTokenizer):
            raise ConfigError(
                f"task=babi reads words, and was given a tokenizer of kind {self.tokenizer.name}. "
                "Give the one that build_babi returned."
            )
        super().require_fitting()

    def collate(self, examples: list[Example]) -> Chunk:
        """Stories side by side."""
        return collate_stories(examples)

    def bits(self, update: Update) -> float:
        """Bits for each answer, at the number of words that answers have on average."""
        about = self.data.about
        return update.loss / math.log(2) * about["n_answer_words"] / about["n_questions"]

    def measure_examples(self, valid: ExampleStore) -> Measurement:
        """Bits per answer, mean error over tasks, and how many tasks failed."""
        c = self.config
        found = evaluate_stories(
            self._model,
            valid,
            lanes=c.lanes,
            limit=c.eval_examples,
            answer=lambda _, chunk: self.objective.answers(chunk),
        )
        return Measurement(
            bits=found.bits_per_answer,
            figures={"valid_error": found.mean_error, "valid_failed": found.n_failed},
            remark=f"mean error {found.mean_error:.2%}, {found.n_failed} of {len(found.tasks)} tasks failed",
        )
