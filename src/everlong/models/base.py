"""What every model is, and the contract every causal one obeys, with what it takes to obey it written once.

    logits, memory = model(tokens, memory)
    logits, memory = model(tokens, memory, starts=starts, lengths=lengths)

An architecture supplies three things: `init_memory`, `advance` (hidden states and the next memory) and a head. Checking
arguments, keeping the clock, idle lanes and losses are the same for all and live here. Encoders, which have no stream,
share `Model` and the checks (everlong.models.encoder).
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from everlong.clock import Clock, tick
from everlong.config import Config
from everlong.errors import ConfigError, MemoryMismatch, ShapeError
from everlong.heads import TokenHead
from everlong.memory import Memory
from everlong.shapes import Hidden, Lengths, Logits, Losses, Starts, Tokens, Vectors
from everlong.storage import add_tensors

M = TypeVar("M", bound=Memory)


class ModelConfig(Config):
    """Fields that every model has."""

    vocab_size: int = Field(default=256, ge=1)
    d_model: int = Field(default=256, ge=1)
    n_layers: int = Field(default=4, ge=1)
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)

    @property
    def reach(self) -> int | None:
        """How many tokens back (an encoder: to each side) all layers together see; ``None`` when nothing bounds it."""
        return None

    @property
    def vector_size(self) -> int:
        """Numbers in each vector that a call takes instead of a token; 0 for tokens."""
        return 0


class VectorConfig(ModelConfig):
    """Fields of a model that can read vectors instead of tokens, and answer with vectors instead of logits."""

    input_size: int = Field(default=0, ge=0)
    """Numbers in each vector that is read instead of a token; 0 for tokens."""
    output_size: int = Field(default=0, ge=0)
    """Numbers in each vector that is answered instead of logits; 0 for logits."""

    @property
    def vector_size(self) -> int:
        """Numbers in each vector that a call takes instead of a token; 0 for tokens."""
        return self.input_size


@dataclass(frozen=True, kw_only=True)
class Advance(Generic[M]):
    """What an architecture computes for a chunk, before the head."""

    hidden: Hidden
    memory: M
    aux: Mapping[str, Tensor]


class Model(nn.Module, ABC):
    """Weights that follow from a config, under a name of the registry."""

    architecture: ClassVar[str]
    """The name in the registry."""
    Config: ClassVar[type[ModelConfig]]
    """The config class of this architecture."""
    idle_weights: ClassVar[bool] = False
    """Whether a text may leave weights without a gradient; ranks that average gradients must not wait for those."""

    head: TokenHead

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self._config = config
        self.recompute = False
        """Whether training keeps only each layer's input and computes its activations again in the backward pass."""

    @property
    def config(self) -> ModelConfig:
        """The config this model was built from."""
        return self._config

    @property
    def backbone(self) -> "Model":
        """The model without the head that a task put on it: itself, unless there is such a head."""
        return self

    @property
    def heads(self) -> dict[str, nn.Module]:
        """What a task put on it, by name."""
        return {}

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights; a memory keeps it under autocast too."""
        return next(self.parameters()).dtype

    def config_json(self) -> str:
        """The config as canonical JSON."""
        return self.config.to_json()

    def config_defaults(self) -> dict[str, Any]:
        """The fields that a config need not name, as JSON values."""
        return self.config.defaults()

    def weights_digest(self) -> str:
        """SHA-256 of all weights and buffers, in hexadecimal."""
        digest = hashlib.sha256()
        add_tensors(digest.update, self.state_dict())
        return digest.hexdigest()

    def with_config(self, **changes: Any) -> Self:
        """The same weights under another config, for fields that no weight depends on (a longer memory, say).

        Raises:
            ConfigError: a changed field changes the shape of a weight.
        """
        other = type(self)(self.config.replace(**changes)).to(device=self.device, dtype=self.dtype)
        mine, theirs = self.state_dict(), other.state_dict()
        # Buffers are constants, not weights: where a size of theirs changes, they are those of the new config.
        mine |= {name: x for name, x in other.named_buffers() if name in mine and mine[name].shape != x.shape}
        if mine.keys() != theirs.keys() or any(mine[n].shape != theirs[n].shape for n in mine):
            changed = ", ".join(f"{name}={value}" for name, value in changes.items())
            raise ConfigError(f"{changed} changes the weights of this {self.architecture}; train a new model for it.")
        other.load_state_dict(mine)
        return other.train(self.training)


class LanguageModel(Model, Generic[M]):
    """A causal model over token streams: chunks and a memory in, logits and the next memory out."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self._slots: dict[tuple[bool, torch.dtype], Memory] = {}

    if TYPE_CHECKING:

        def __call__(
            self,
            tokens: Tokens | Vectors,
            memory: M | None = None,
            *,
            starts: Starts | None = None,
            lengths: Lengths | None = None,
        ) -> tuple[Logits, M]:
            """See `forward`."""
            ...

    @abstractmethod
    def init_memory(self, lanes: int) -> M:
        """An empty memory of that many lanes, with the shapes every later memory has."""

    @abstractmethod
    def advance(self, tokens: Tokens, memory: M, clock: Clock) -> Advance[M]:
        """Read a chunk: hidden states ``[b t d]``, the next memory and losses of the memory itself."""

    def adopt(self, memory: M) -> M:
        """A memory in the form that this model uses now (training and evaluation may keep other things)."""
        return memory

    def forward(
        self,
        tokens: Tokens | Vectors,
        memory: M | None = None,
        *,
        starts: Starts | None = None,
        lengths: Lengths | None = None,
    ) -> tuple[Logits, M]:
        """Next-token logits ``[b t v]`` for every token of a chunk, and what to remember of it.

        Args:
            tokens: ``[b t]`` int64. Each row is one lane, continuing where its memory left off. Where
                ``config.vector_size`` is set, ``[b t vector_size]`` floats instead.
            memory: what earlier chunks left behind; ``None`` means a new, empty one.
            starts: ``[b t]`` bool: this token begins a new document in its lane.
            lengths: ``[b]`` int64: how many tokens of this right-padded chunk are real; 0 is an idle lane.

        Raises:
            ShapeError: an argument has the wrong shape or type.
            MemoryMismatch: the memory has other lanes or slots than this call needs.
        """
        step = self._step(tokens, memory, starts, lengths)
        return self.head.logits(step.hidden), step.memory

    def forward_with_aux(
        self,
        tokens: Tokens | Vectors,
        memory: M | None = None,
        *,
        starts: Starts | None = None,
        lengths: Lengths | None = None,
    ) -> tuple[Logits, M, Mapping[str, Tensor]]:
        """Like a plain call, and the scalar training losses that belong to the memory itself, by name."""
        step = self._step(tokens, memory, starts, lengths)
        return self.head.logits(step.hidden), step.memory, step.aux

    def logits_at(
        self,
        tokens: Tokens | Vectors,
        places: Bool[Tensor, "b t"],
        memory: M | None = None,
        *,
        starts: Starts | None = None,
        lengths: Lengths | None = None,
    ) -> tuple[Float[Tensor, "n v"], M]:
        """Like a plain call, with the logits of chosen tokens alone, lane after lane.

        Logits of every token are much larger than hidden states where the vocabulary is.
        """
        step = self._step(tokens, memory, starts, lengths)
        return self.head.logits(step.hidden[places][None])[0], step.memory

    def token_losses(
        self,
        tokens: Tokens | Vectors,
        targets: Tokens,
        memory: M | None = None,
        *,
        starts: Starts | None = None,
        lengths: Lengths | None = None,
    ) -> tuple[Losses, M, Mapping[str, Tensor]]:
        """Negative log-likelihood of each target in nats ``[b t]``, in token order; 0 where the target is `IGNORE`."""
        step = self._step(tokens, memory, starts, lengths)
        return self.head.losses(step.hidden, targets), step.memory, step.aux

    def _step(self, tokens: Tensor, memory: M | None, starts: Tensor | None, lengths: Tensor | None) -> Advance[M]:
        width = self.config.vector_size
        check_chunk(tokens, starts=starts, lengths=lengths, width=width)
        if memory is None:
            memory = self.init_memory(tokens.shape[0])
        if memory.lanes != tokens.shape[0]:
            raise MemoryMismatch(
                f"tokens have {tokens.shape[0]} lanes, memory has {memory.lanes}. "
                f"Choose lanes with memory.select(...), or start afresh with model.init_memory({tokens.shape[0]})."
            )
        memory = self._fitting(memory)
        clock = tick(memory.position, time=tokens.shape[1], starts=starts, lengths=lengths)
        real = real_vectors(tokens, clock) if width else real_tokens(tokens, clock, vocab_size=self.config.vocab_size)
        step = self.advance(real, memory, clock)
        step.memory.made_by(self)
        return step

    def _fitting(self, memory: M) -> M:
        mode = (self.training, self.dtype)
        if mode not in self._slots:
            self._slots[mode] = self.init_memory(1)
        fits = self._slots[mode]
        if type(memory) is type(fits):
            memory = self.adopt(memory)
        have, need = (x.layout_of(x.flatten()) for x in (memory, fits))
        if type(memory) is not type(fits) or have != need:
            raise MemoryMismatch(
                f"this {self.architecture} needs a {_slots(fits)}, got a {_slots(memory)}. "
                "Use a memory that a model of the same config and type made."
            )
        return memory


AnyLanguageModel = LanguageModel[Any]


def check_chunk(tokens: Tensor, *, starts: Tensor | None, lengths: Tensor | None, width: int = 0) -> None:
    """Refuse arguments that break the contract; with a `width`, what is read are vectors of so many numbers.

    Raises:
        ShapeError: the shape or type of an argument is wrong, or a length lies outside the chunk.
    """
    if width and (tokens.ndim != 3 or tokens.shape[2] != width or not tokens.is_floating_point()):
        raise ShapeError(
            f"this model reads vectors: floats of shape [lanes, time, {width}], got {tokens.dtype} of shape "
            f"{list(tokens.shape)}. For one stream, give vectors[None]; for tokens, set input_size=0."
        )
    if not width and (tokens.ndim != 2 or tokens.dtype != torch.int64):
        raise ShapeError(
            f"tokens must be int64 of shape [lanes, time], got {tokens.dtype} of shape {list(tokens.shape)}. "
            "For one stream, give tokens[None]."
        )
    lanes, time = tokens.shape[:2]
    if lanes == 0 or time == 0:
        raise ShapeError(
            f"tokens of shape {list(tokens.shape)} hold nothing to read. Give at least one lane and one token."
        )
    if starts is not None and (starts.shape != (lanes, time) or starts.dtype != torch.bool):
        raise ShapeError(
            f"starts must be bool of shape {[lanes, time]} like tokens, "
            f"got {starts.dtype} of shape {list(starts.shape)}."
        )
    if lengths is None:
        return
    if lengths.shape != (lanes,) or lengths.dtype != torch.int64:
        raise ShapeError(
            f"lengths must be int64 of shape {[lanes]}, one per lane, "
            f"got {lengths.dtype} of shape {list(lengths.shape)}."
        )
    if bool(((lengths < 0) | (lengths > time)).any()):
        raise ShapeError(f"lengths must lie between 0 and the chunk's {time} tokens, got {lengths.tolist()}.")


def real_tokens(tokens: Tokens, clock: Clock, *, vocab_size: int, symbols: int = 0) -> Tokens:
    """The tokens, with 0 for padding, whatever stood there.

    Args:
        tokens: those of the call that `clock` belongs to.
        clock: says which are real.
        vocab_size: ids below it are tokens of text.
        symbols: ids from there on that the model also knows.

    Raises:
        ShapeError: a real token is none of these.
    """
    if clock.valid is not None:
        tokens = tokens.where(clock.valid, 0)
    low, high = (int(bound) for bound in tokens.aminmax())
    if low < 0 or high >= vocab_size + symbols:
        raise ShapeError(
            f"token {low if low < 0 else high} is outside the vocabulary of {vocab_size}. "
            "Use the tokenizer the model was trained with."
        )
    return tokens


def real_vectors(vectors: Vectors, clock: Clock) -> Vectors:
    """The vectors of the call that `clock` belongs to, with zeros for padding, whatever stood there."""
    return vectors if clock.valid is None else vectors.where(clock.valid[..., None], 0)


def _slots(memory: Memory) -> str:
    leaves = (
        f"{name} {str(leaf.dtype).removeprefix('torch.')}{list(leaf.shape[1:])}"
        for name, leaf in memory.flatten().items()
    )
    return f"{type(memory).__name__} with {', '.join(leaves)} per lane"


def run_layer(layer: Callable[..., Any], arguments: tuple[Any, ...], *, checkpoint: bool) -> Any:
    """Call a layer; with `checkpoint`, keep only its inputs and compute its activations again in the backward pass."""
    if not checkpoint:
        return layer(*arguments)
    from torch.utils.checkpoint import checkpoint as rerun

    return rerun(layer, *arguments, use_reentrant=False)
