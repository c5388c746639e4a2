"""What a run teaches: the chunks it reads, what they cost, and how held-out text is measured.

    lm     the next token of a stream             language models, memory carried from chunk to chunk
    mlm    hidden tokens of windows of text       encoders, which carry nothing (Devlin et al., 2019)

Windows follow one another in the text and may hold the end of one document and the beginning of the next, as RoBERTa's
do (Liu et al., 2019, section 4.2). Held-out documents are measured one by one.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, final

from everlong.data import Chunk, LaneReader, MaskedReader, Masking, Tokenizer, TokenStore
from everlong.errors import ConfigError
from everlong.evaluate import evaluate_hidden, require_hidden
from everlong.memory import Memory
from everlong.models import Encoder, LanguageModel, list_models
from everlong.models.base import AnyLanguageModel, Model
from everlong.models.registry import Kind
from everlong.train.config import TaskName, TrainConfig
from everlong.train.distribution import World
from everlong.train.hidden_loss import HiddenLoss
from everlong.train.objective import Objective
from everlong.train.stream_loss import StreamLoss
from everlong.train.validation import require_targets, valid_bits_per_byte

TASK_OF_KIND: dict[Kind, TaskName] = {"causal": "lm", "encoder": "mlm"}
"""What models of each kind learn."""


class Reader(Protocol):
    """Chunks without end, from a place that can be noted and found again."""

    def __next__(self) -> Chunk:
        """The next chunk of this rank's lanes."""
        ...

    def cursor(self) -> dict[str, int | str]:
        """Where the next chunk begins, for every rank alike, as JSON values."""
        ...

    def seek(self, cursor: Mapping[str, object]) -> "Reader":
        """Go on where a cursor was taken."""
        ...


@final
@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What held-out text says about a model."""

    bits_per_byte: float
    """By which the best weights are known: bits for each byte that had to be predicted."""
    figures: Mapping[str, float] = field(default_factory=dict[str, float])
    """What else was found, by the name it has in the metrics file."""


class Task(ABC):
    """Something to teach a model."""

    objective: Objective

    @abstractmethod
    def reader(self, data: TokenStore, world: World) -> Reader:
        """The chunks of a rank.

        Raises:
            ConfigError: the lanes cannot be shared among the ranks.
            DataError: the corpus is too short for its lanes.
        """

    @abstractmethod
    def new_memory(self, lanes: int) -> Memory | None:
        """What is carried into the first window; ``None`` where nothing ever is."""

    @abstractmethod
    def require_measurable(self, valid: TokenStore) -> None:
        """Make sure that a held-out text has something to predict.

        Raises:
            DataError: it has not.
        """

    @abstractmethod
    def measure(self, valid: TokenStore) -> Measurement:
        """How well the model predicts a held-out text now."""


@final
class NextTokens(Task):
    """``lm``: every token from those before it."""

    def __init__(self, model: AnyLanguageModel, config: TrainConfig, tokenizer: Tokenizer) -> None:
        self._model, self._config, self._tokenizer = model, config, tokenizer
        self._loss = StreamLoss(model, precision=config.precision)
        self.objective = self._loss

    def reader(self, data: TokenStore, world: World) -> LaneReader:
        """Contiguous lanes."""
        return _lanes(data, self._config, world)

    def new_memory(self, lanes: int) -> Memory:
        """The model's."""
        return self._model.init_memory(lanes)

    def require_measurable(self, valid: TokenStore) -> None:
        """Make sure that some document has a second token."""
        require_targets(valid, limit=self._config.eval_tokens)

    def measure(self, valid: TokenStore) -> Measurement:
        """Bits per byte with memory carried through each document."""
        c = self._config
        bits = valid_bits_per_byte(
            self._loss, valid, self._tokenizer, lanes=c.lanes, chunk=c.chunk, limit=c.eval_tokens
        )
        return Measurement(bits_per_byte=bits)


@final
class HiddenTokens(Task):
    """``mlm``: some tokens of a window from those on both sides."""

    def __init__(self, model: Encoder, config: TrainConfig, tokenizer: Tokenizer) -> None:
        self._model, self._config, self._tokenizer = model, config, tokenizer
        self._loss = HiddenLoss(model, precision=config.precision)
        self.objective = self._loss
        self._masking = make_masking(model, config, tokenizer)

    def reader(self, data: TokenStore, world: World) -> MaskedReader:
        """Contiguous lanes with some tokens hidden."""
        return MaskedReader(_lanes(data, self._config, world), self._masking, seed=self._config.seed)

    def new_memory(self, lanes: int) -> None:
        """Nothing."""
        del lanes

    def require_measurable(self, valid: TokenStore) -> None:
        """Make sure that some token is hidden."""
        require_hidden(valid, self._masking, chunk=self._config.chunk, limit=self._config.eval_tokens)

    def measure(self, valid: TokenStore) -> Measurement:
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
            bits_per_byte=found.bits_per_byte, figures={"valid_loss": found.loss, "valid_accuracy": found.accuracy}
        )


def make_masking(model: Encoder, config: TrainConfig, tokenizer: Tokenizer) -> Masking:
    """How tokens are hidden from an encoder that is, or was, trained with these settings."""
    return Masking(tokenizer, mask_token=model.mask_token, rate=config.mask_rate, unit=config.mask_unit)


def make_task(model: Model, config: TrainConfig, tokenizer: Tokenizer) -> Task:
    """The task that the settings name.

    Raises:
        ConfigError: it is for models of another kind.
    """
    if isinstance(model, Encoder):
        require_learnable(config.task, model.architecture, "encoder")
        return HiddenTokens(model, config, tokenizer)
    require_learnable(config.task, model.architecture, "causal")
    assert isinstance(model, LanguageModel)
    return NextTokens(model, config, tokenizer)


def require_learnable(task: TaskName, architecture: str, kind: Kind) -> None:
    """Make sure that a task is for models of a kind.

    Raises:
        ConfigError: it is for others.
    """
    own = TASK_OF_KIND[kind]
    if task != own:
        others: Kind = next(other for other, its_task in TASK_OF_KIND.items() if its_task == task)
        raise ConfigError(
            f"{architecture} cannot learn task={task}, which is for {', '.join(list_models(others))}. "
            f"Give task={own}, or choose one of these."
        )


def _lanes(data: TokenStore, config: TrainConfig, world: World) -> LaneReader:
    return LaneReader(data, lanes=config.lanes, chunk=config.chunk, rank=world.rank, world=world.size)
