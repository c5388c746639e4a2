"""What a run teaches, and to whom.

    lm     the next token of a stream             language models, memory carried from chunk to chunk
    mlm    hidden tokens of windows of text       encoders, which carry nothing (Devlin et al., 2019)
    copy   and others (everlong.data.synthetic)   language models that read vectors; each sequence is generated

Windows follow one another in the text and may hold the end of one document and the beginning of the next, as RoBERTa's
do (Liu et al., 2019, section 4.2). Held-out documents are measured one by one.
"""

import math
from abc import abstractmethod
from typing import final

from everlong.data import LaneReader, MaskedReader, Masking, Tokenizer, TokenStore
from everlong.data.synthetic import RULES, Rules
from everlong.errors import ConfigError
from everlong.evaluate import evaluate_hidden, require_hidden
from everlong.memory import Memory
from everlong.models import Encoder, LanguageModel, describe_model, list_models
from everlong.models.base import AnyLanguageModel, Model, VectorConfig
from everlong.models.registry import Kind
from everlong.train.config import TaskName, TrainConfig
from everlong.train.distribution import World
from everlong.train.episodes import Episodes
from everlong.train.hidden_loss import HiddenLoss
from everlong.train.learner import Update
from everlong.train.objective import Objective
from everlong.train.stream_loss import StreamLoss
from everlong.train.task import Measurement, Task
from everlong.train.validation import require_targets, valid_bits_per_byte

TASK_OF_KIND: dict[Kind, TaskName] = {"causal": "lm", "encoder": "mlm"}
"""What models of each kind learn from text."""


class TextTask(Task):
    """A corpus to learn from, maybe a text to measure on, and the tokenizer that made both."""

    def __init__(
        self,
        objective: Objective,
        data: TokenStore,
        valid: TokenStore | None,
        config: TrainConfig,
        tokenizer: Tokenizer,
    ) -> None:
        self.objective, self.is_measured = objective, valid is not None
        self._data, self._valid, self._config, self._tokenizer = data, valid, config, tokenizer

    def require_fitting(self) -> None:
        """Refuse what would fail later.

        Raises:
            ConfigError: the model's vocabulary is smaller than the tokenizer's, or it reads or answers vectors.
            DataError: another tokenizer made a store, or the validation text holds nothing to predict.
        """
        config, tokenizer = self.objective.model.config, self._tokenizer
        if isinstance(config, VectorConfig) and (config.input_size or config.output_size):
            raise ConfigError(
                f"task={self._config.task} is about tokens; the model has input_size={config.input_size} and "
                f"output_size={config.output_size}. Create it with 0 for both."
            )
        if config.vocab_size < tokenizer.vocab_size:
            raise ConfigError(
                f"the model has vocab_size={config.vocab_size}, the tokenizer has {tokenizer.vocab_size} tokens. "
                f"Create the model with vocab_size={tokenizer.vocab_size}."
            )
        self._data.require_tokenizer(tokenizer)
        if self._valid is not None:
            self._valid.require_tokenizer(tokenizer)
            self.require_measurable(self._valid)

    def bits(self, update: Update) -> float:
        """Bits for each byte of the corpus."""
        return update.loss / math.log(2) * self._data.n_tokens / self._data.n_bytes

    def measure(self) -> Measurement:
        """How well the model predicts the held-out text now."""
        assert self._valid is not None
        return self.measure_text(self._valid)

    @abstractmethod
    def require_measurable(self, valid: TokenStore) -> None:
        """Make sure that a held-out text has something to predict.

        Raises:
            DataError: it has not.
        """

    @abstractmethod
    def measure_text(self, valid: TokenStore) -> Measurement:
        """How well the model predicts a held-out text now."""

    def lanes(self, world: World) -> LaneReader:
        """Contiguous lanes of the corpus."""
        c = self._config
        return LaneReader(self._data, lanes=c.lanes, chunk=c.chunk, rank=world.rank, world=world.size)


@final
class NextTokens(TextTask):
    """``lm``: every token from those before it."""

    def __init__(
        self,
        model: AnyLanguageModel,
        data: TokenStore,
        valid: TokenStore | None,
        config: TrainConfig,
        tokenizer: Tokenizer,
    ) -> None:
        self._model, self._loss = model, StreamLoss(model, precision=config.precision)
        super().__init__(self._loss, data, valid, config, tokenizer)

    def reader(self, world: World) -> LaneReader:
        """Contiguous lanes."""
        return self.lanes(world)

    def new_memory(self, lanes: int) -> Memory:
        """The model's."""
        return self._model.init_memory(lanes)

    def require_measurable(self, valid: TokenStore) -> None:
        """Make sure that some document has a second token."""
        require_targets(valid, limit=self._config.eval_tokens)

    def measure_text(self, valid: TokenStore) -> Measurement:
        """Bits per byte with memory carried through each document."""
        c = self._config
        bits = valid_bits_per_byte(
            self._loss, valid, self._tokenizer, lanes=c.lanes, chunk=c.chunk, limit=c.eval_tokens
        )
        return Measurement(bits=bits)


@final
class HiddenTokens(TextTask):
    """``mlm``: some tokens of a window from those on both sides."""

    def __init__(
        self, model: Encoder, data: TokenStore, valid: TokenStore | None, config: TrainConfig, tokenizer: Tokenizer
    ) -> None:
        self._model, self._loss = model, HiddenLoss(model, precision=config.precision)
        super().__init__(self._loss, data, valid, config, tokenizer)
        self._masking = make_masking(model, config, tokenizer)

    def reader(self, world: World) -> MaskedReader:
        """Contiguous lanes with some tokens hidden."""
        return MaskedReader(self.lanes(world), self._masking, seed=self._config.seed)

    def new_memory(self, lanes: int) -> None:
        """Nothing."""
        del lanes

    def require_measurable(self, valid: TokenStore) -> None:
        """Make sure that some token is hidden."""
        require_hidden(valid, self._masking, chunk=self._config.chunk, limit=self._config.eval_tokens)

    def measure_text(self, valid: TokenStore) -> Measurement:
        """Bits per hidden byte; loss and accuracy."""
        c = self._config
        found = evaluate_hidden(
            self._model,
            valid,
            self._tokenizer,
            self._masking,
            lanes=c.lanes,
            chunk=c.chunk,
            limit_tokens=c.eval_tokens,
            guess=lambda _, chunk: self._loss.guesses(chunk),
        )
        return Measurement(
            bits=found.bits_per_byte, figures={"valid_loss": found.loss, "valid_accuracy": found.accuracy}
        )


def make_masking(model: Encoder, config: TrainConfig, tokenizer: Tokenizer) -> Masking:
    """How tokens are hidden from an encoder that is, or was, trained with these settings."""
    return Masking(tokenizer, mask_token=model.mask_token, rate=config.mask_rate, unit=config.mask_unit)


def make_task(
    model: Model, data: TokenStore | Rules, valid: TokenStore | None, config: TrainConfig, tokenizer: Tokenizer | None
) -> Task:
    """The task that the settings name, with what it is taught from.

    Raises:
        ConfigError: it is for other models, or is taught from something else.
    """
    require_learnable(config.task, model.architecture)
    if isinstance(data, Rules):
        if data.name != config.task or valid is not None or tokenizer is not None:
            raise ConfigError(
                f"the rules of {data.name} were given with task={config.task}, validation text or a tokenizer. "
                f"Give task={data.name}, and neither of the others: its sequences are generated."
            )
        assert isinstance(model, LanguageModel)
        return Episodes(model, data, config)
    if config.task in RULES or tokenizer is None:
        raise ConfigError(
            f"task={config.task} was given a corpus{'' if tokenizer else ' without its tokenizer'}. "
            "Give a generated task its rules, and a corpus the tokenizer that made it."
        )
    if isinstance(model, Encoder):
        return HiddenTokens(model, data, valid, config, tokenizer)
    assert isinstance(model, LanguageModel)
    return NextTokens(model, data, valid, config, tokenizer)


def learners(task: TaskName) -> list[str]:
    """Which architectures can learn a task."""
    if task in RULES:
        return [name for name in list_models() if issubclass(describe_model(name)[1], VectorConfig)]
    return list_models(next(kind for kind, its_task in TASK_OF_KIND.items() if its_task == task))


def require_learnable(task: TaskName, architecture: str) -> None:
    """Make sure that an architecture can learn a task.

    Raises:
        ConfigError: the task is for others.
    """
    if architecture not in learners(task):
        raise ConfigError(
            f"{architecture} cannot learn task={task}, which is for {', '.join(learners(task))}. "
            f"Give task={TASK_OF_KIND[describe_model(architecture)[0]]}, or choose one of these."
        )
