"""Generated tasks: answers that are asked for in sequences drawn by rule."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from everlong.data import Chunk
from everlong.data.synthetic import EpisodeReader, Rules, TokenRules
from everlong.errors import ConfigError
from everlong.evaluate.episodes import answer_losses, answers, evaluate_episodes, require_fitting
from everlong.memory import Memory
from everlong.models import LanguageModel
from everlong.models.base import AnyLanguageModel
from everlong.shapes import Answers
from everlong.train.asked_loss import AskedLoss
from everlong.train.config import TrainConfig
from everlong.train.distribution import World
from everlong.train.learner import Update
from everlong.train.objective import Objective
from everlong.train.task import Given, Measurement, Task, Unit

SEQUENCE = Unit("sequence", unseen="new sequences")


@final
class EpisodeLoss(Objective[Chunk]):
    """Cross-entropy of what is asked for; every sequence begins with an empty memory."""

    entrances = ("answers",)

    model: AnyLanguageModel

    def forward(
        self, window: Sequence[Chunk], memory: Memory | None
    ) -> tuple[Float[Tensor, ""], Memory | None, dict[str, Tensor]]:
        """Loss in nats summed over answers."""
        nats = [answer_losses(self.answers(chunk), chunk.targets).sum() for chunk in window]
        return torch.stack(nats).sum(), memory, {}

    def answers(self, chunk: Chunk) -> Answers:
        """All logits of a chunk, in the precision of training."""
        with self.autocast():
            return answers(self.model, chunk)


@final
class TokenEpisodeLoss(AskedLoss):
    """Loss of the tokens that generated sequences ask for."""

    entrances = ("answers",)

    def answers(self, chunk: Chunk) -> Answers:
        """Logits of what is asked for, in the precision of training."""
        with self.autocast():
            return answers(self.model, chunk)


@final
class Episodes(Task):
    """Sequences of a generated task; other ones, always the same, are measured."""

    per: ClassVar[Unit] = SEQUENCE

    def __init__(self, model: AnyLanguageModel, rules: Rules, config: TrainConfig) -> None:
        self._model, self._rules, self._config = model, rules, config
        loss = TokenEpisodeLoss if isinstance(rules, TokenRules) else EpisodeLoss
        self._loss = loss(model, precision=config.precision)
        self.objective = self._loss
        self.is_measured = True

    @property
    def tokenizer(self) -> None:
        """There is no text."""

    def facts(self) -> dict[str, Any]:
        """The rules, and digests of what they draw from."""
        return {**self._rules.model_dump(mode="json"), **self._rules.sources()}

    def keep(self, folder: Path) -> None:
        """Write what the rules draw from.

        Raises:
            RunError: the disk is full.
        """
        self._rules.keep(folder)

    def reader(self, world: World) -> EpisodeReader:
        """A new sequence for each lane and chunk."""
        c = self._config
        return EpisodeReader(self._rules, seed=c.seed, lanes=c.lanes, rank=world.rank, world=world.size)

    def new_memory(self, lanes: int) -> None:
        """Nothing."""
        del lanes

    def require_fitting(self) -> None:
        """Refuse a model of other vectors or tokens.

        Raises:
            ConfigError: the model does not read and answer those of the task.
        """
        require_fitting(self._model, self._rules)

    def bits(self, update: Update) -> float:
        """Bits for each sequence of the update."""
        c = self._config
        return update.loss / math.log(2) * update.targets / (c.lanes * c.window * c.accumulate)

    def measure(self) -> Measurement:
        """Bits per sequence and wrong answers, at the sizes of training and at the hardest that are measured."""
        usual, hardest = evaluate_episodes(
            self._model,
            self._rules,
            trials=(None, self._rules.trials()[-1]),
            sequences=self._config.eval_sequences,
            lanes=self._config.lanes,
            answer=lambda _, chunk: self._loss.answers(chunk),
        )
        return Measurement(
            bits=usual.bits_per_sequence,
            figures={
                f"valid_wrong_{usual.unit}": usual.wrong,
                "hard_bits_per_sequence": hardest.bits_per_sequence,
                f"hard_wrong_{usual.unit}": hardest.wrong,
                **{f"valid_accuracy_{usual.mark}_{mark}": tally.accuracy for mark, tally in usual.by_mark.items()},
            },
            remark=f"{usual.wrong:.2%} wrong {usual.unit}, {hardest.wrong:.2%} in harder ones",
        )


def episodes(given: Given) -> Episodes:
    """A generated task for a model that reads its vectors or tokens.

    Raises:
        ConfigError: the rules are those of another task, or there is something that generated tasks do not need.
    """
    data, model, config = given.data, given.model, given.config
    assert isinstance(data, Rules)
    assert isinstance(model, LanguageModel)
    if data.name != config.task or given.valid is not None or given.tokenizer is not None:
        raise ConfigError(
            f"the rules of {data.name} were given with task={config.task}, validation text or a tokenizer. "
            f"Give task={data.name}, and neither of the others: its sequences are generated."
        )
    return Episodes(model, data, config)
