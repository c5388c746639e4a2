"""What a plan is about: an architecture, its sizes, how it is trained, and how long the text is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, final

import torch

from everlong.errors import ConfigError
from everlong.models import Seq2Seq, describe_model
from everlong.models.base import LanguageModel, Model, ModelConfig
from everlong.train.config import TrainConfig


@final
@dataclass(frozen=True, kw_only=True)
class Setup:
    """Everything that cost follows from.

    Raises:
        ConfigError: no architecture has that name, or the text has no token.
    """

    architecture: str
    model: ModelConfig
    training: TrainConfig
    length: int
    """Tokens: of a stream that is read chunk by chunk, of each text of an encoder, of each source."""

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ConfigError(f"length={self.length} is no length of a text. Give 1 token or more.")

    @property
    def kind(self) -> str:
        """``causal``, ``encoder`` or ``seq2seq``."""
        return describe_model(self.architecture)[0]

    @property
    def chunk(self) -> int:
        """Tokens of each lane in one call: an encoder reads its texts whole."""
        return self.length if self.kind == "encoder" else min(self.training.chunk, self.length)

    @property
    def tokens_per_step(self) -> int:
        """Tokens that one update reads, those of sources included."""
        one = self.chunk + (self.length if self.kind == "seq2seq" else 0)
        return self.training.lanes * one * self.training.window * self.training.accumulate

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """With other values of some fields of the model or of its training.

        Raises:
            ConfigError: a value does not fit.
        """
        of_model = {name: value for name, value in changes.items() if name in type(self.model).model_fields}
        of_training = {name: value for name, value in changes.items() if name not in of_model}
        return replace(self, model=self.model.replace(**of_model), training=self.training.replace(**of_training))

    def build(self) -> Model:
        """A new model."""
        _, config, _ = describe_model(self.architecture)
        from everlong.models import create_model

        assert isinstance(self.model, config)
        return create_model(self.architecture, **self.model.model_dump())


@final
@dataclass(frozen=True, kw_only=True)
class Resident:
    """Bytes that are there all the time. No weights are made to tell them."""

    weights: int
    gradients: int
    optimizer: int
    session: int
    """What one lane remembers while it writes; 0 where nothing is remembered."""
    carried: int
    """What the lanes of training remember from step to step."""


def resident(setup: Setup) -> Resident:
    """Exact bytes of weights, their gradients, AdamW's two averages and step counts, and memories."""
    with torch.device("meta"):
        model = setup.build()
        learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
        gradients = sum(p.nbytes for p in learned)
        return Resident(
            weights=sum(p.nbytes for p in model.parameters()),
            gradients=gradients,
            optimizer=2 * gradients + 4 * len(learned),
            session=_remembered(model.eval(), 1, setup.length),
            carried=_remembered(model.train(), setup.training.lanes, 0) if setup.kind == "causal" else 0,
        )


def _remembered(model: Model, lanes: int, source: int) -> int:
    if isinstance(model, Seq2Seq):
        return model.init_memory(lanes, source_slots=source).nbytes
    return model.init_memory(lanes).nbytes if isinstance(model, LanguageModel) else 0
