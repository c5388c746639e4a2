"""What is taught from text, and to whom.

    lm         the next token of a stream         language models, memory carried from chunk to chunk
    dialogue   the same of a stream of turns      language models
    mlm        hidden tokens of windows of text   encoders, which carry nothing (Devlin et al., 2019)

Windows follow one another in the text and may hold the end of one document and the beginning of the next, as RoBERTa's
do (Liu et al., 2019, section 4.2). Held-out documents are measured one by one.
"""

import math
from abc import abstractmethod
from functools import cached_property
from typing import Any, final

from everlong.data import (
    ChosenReader,
    Drawn,
    LaneReader,
    MaskedReader,
    Masking,
    Parts,
    Passages,
    Tokenizer,
    TokenStore,
    document_scores,
)
from everlong.data.dialogues import speakers
from everlong.data.orders import require_documents
from everlong.errors import ConfigError
from everlong.evaluate import evaluate_hidden, require_hidden
from everlong.memory import Memory
from everlong.models import Encoder, LanguageModel
from everlong.models.base import AnyLanguageModel, Model, VectorConfig
from everlong.train.config import TrainConfig
from everlong.train.distribution import World
from everlong.train.hidden_loss import HiddenLoss
from everlong.train.learner import Update
from everlong.train.long_loss import LongLoss
from everlong.train.objective import Objective
from everlong.train.stream_loss import StreamLoss
from everlong.train.task import Given, Measurement, Task
from everlong.train.validation import require_targets, valid_bits_per_byte


def next_tokens(given: Given) -> "NextTokens":
    """``lm`` for a language model.

    Raises:
        ConfigError: there is no tokenizer.
    """
    data, valid, tokenizer = _texts(given)
    assert isinstance(given.model, LanguageModel)
    return NextTokens(given.model, data, valid, given.config, tokenizer)


def next_turns(given: Given) -> "NextTurns":
    """``dialogue`` for a language model.

    Raises:
        ConfigError: there is no tokenizer.
    """
    data, valid, tokenizer = _texts(given)
    assert isinstance(given.model, LanguageModel)
    return NextTurns(given.model, data, valid, given.config, tokenizer)


def hidden_tokens(given: Given) -> "HiddenTokens":
    """``mlm`` for an encoder.

    Raises:
        ConfigError: there is no tokenizer.
    """
    data, valid, tokenizer = _texts(given)
    encoder = given.model.backbone
    assert isinstance(encoder, Encoder)
    return HiddenTokens(encoder, data, valid, given.config, tokenizer)


def _texts(given: Given) -> tuple[TokenStore, TokenStore | None, Tokenizer]:
    assert isinstance(given.data, TokenStore)
    assert isinstance(given.valid, TokenStore | None)
    if given.tokenizer is None:
        raise ConfigError(
            f"task={given.config.task} was given a corpus without its tokenizer. Give the tokenizer that made it, too."
        )
    return given.data, given.valid, given.tokenizer


class TextTask(Task):
    """A corpus to learn from, maybe a text to measure on, and the tokenizer that made both."""

    def __init__(
        self,
        objective: Objective[Any],
        data: TokenStore,
        valid: TokenStore | None,
        config: TrainConfig,
        tokenizer: Tokenizer,
    ) -> None:
        self.objective, self.is_measured = objective, valid is not None
        self._data, self._valid, self._config, self._tokenizer = data, valid, config, tokenizer

    @property
    def tokenizer(self) -> Tokenizer:
        """What made the texts' tokens."""
        return self._tokenizer

    def facts(self) -> dict[str, Any]:
        """Sizes and checksum of the corpus."""
        return {"n_tokens": self._data.n_tokens, "n_documents": self._data.n_documents, "store": self._data.digest}

    def require_fitting(self) -> None:
        """Refuse what would fail later.

        Raises:
            ConfigError: the model's vocabulary is smaller than the tokenizer's, or it reads or answers vectors.
            DataError: another tokenizer made a store, or the validation text holds nothing to predict.
        """
        tokenizer = self._tokenizer
        require_vocabulary(self.objective.model, self._config, tokenizer)
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
        self._model, self._loss = model, make_loss(model, config)
        super().__init__(self._loss, data, valid, config, tokenizer)

    def reader(self, world: World) -> LaneReader | ChosenReader:
        """Contiguous lanes; of chosen documents and with passages between them, if the settings say so."""
        c = self._config
        if not c.favour and not any(c.mix):
            return self.lanes(world)
        return ChosenReader(
            self._data,
            self._drawn if c.favour else Parts(self._data, lanes=c.lanes, chunk=c.chunk),
            passages=Passages(self._data, self.tokenizer, chunk=c.chunk) if any(c.mix) else None,
            share=lambda: c.mix_share(self.done),
            lanes=c.lanes,
            chunk=c.chunk,
            seed=c.seed,
            rank=world.rank,
            world=world.size,
        )

    def require_fitting(self) -> None:
        """Refuse what would fail later, documents among which nothing can be favoured as well.

        Raises:
            ConfigError: as for any text.
            DataError: as for any text; or documents are too few, or no rare word of theirs comes back.
        """
        super().require_fitting()
        if self._config.favour:
            _ = self._drawn

    @cached_property
    def _drawn(self) -> Drawn:
        c = self._config
        require_documents(self._data, lanes=c.lanes)
        scores = document_scores(self._data, self.tokenizer, gap=c.chunk)
        # As a part of the highest, a power of which is never too large for a number.
        return Drawn(self._data, (scores / scores.max()) ** c.favour, seed=c.seed)

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
class NextTurns(NextTokens):
    """``dialogue``: every token of a conversation, speakers' names included, from those before it."""

    def facts(self) -> dict[str, Any]:
        """Those of the corpus, and the first two speakers, whose parts a person and the model may take."""
        return super().facts() | {"speakers": speakers(self.tokenizer.decode(self._data.document(0)))[:2]}


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
            bits=found.bits_per_byte,
            figures={"valid_loss": found.loss, "valid_accuracy": found.accuracy},
            remark=f"{found.accuracy:.1%} of hidden tokens guessed",
        )


def make_loss(model: AnyLanguageModel, config: TrainConfig) -> StreamLoss:
    """The loss of a stream: plain, or one that favours what the memory helps to predict."""
    if config.long_weight > 1:
        return LongLoss(model, precision=config.precision, largest=config.long_weight)
    return StreamLoss(model, precision=config.precision)


def make_masking(model: Encoder, config: TrainConfig, tokenizer: Tokenizer) -> Masking:
    """How tokens are hidden from an encoder that is, or was, trained with these settings."""
    return Masking(tokenizer, mask_token=model.mask_token, rate=config.mask_rate, unit=config.mask_unit)


def require_vocabulary(model: Model, config: TrainConfig, tokenizer: Tokenizer) -> None:
    """Make sure that a model reads and answers the tokens of a tokenizer.

    Raises:
        ConfigError: its vocabulary is smaller, or it reads or answers vectors.
    """
    fields = model.config
    if isinstance(fields, VectorConfig) and (fields.input_size or fields.output_size):
        raise ConfigError(
            f"task={config.task} is about tokens; the model has input_size={fields.input_size} and "
            f"output_size={fields.output_size}. Create it with 0 for both."
        )
    if fields.vocab_size < tokenizer.vocab_size:
        raise ConfigError(
            f"the model has vocab_size={fields.vocab_size}, the tokenizer has {tokenizer.vocab_size} tokens. "
            f"Create the model with vocab_size={tokenizer.vocab_size}."
        )
