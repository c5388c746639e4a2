"""The model under examination: a float64 copy with stirred weights, without dropout, and streams to feed it."""

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, Protocol, Self, get_args

import torch
from torch import Tensor, nn

from everlong.errors import ConfigError, ContractViolation
from everlong.memory import Memory
from everlong.models.seq2seq import Seq2Seq, SourceMemory
from everlong.testing.reading import Reading

LANES = 3
SHORTEST = 10
"""Tokens that a stream has at least: some laws cut it, or end lanes, among the first nine."""

Mode = Literal["training", "evaluating", "decoding"]
MODES: tuple[Mode, ...] = get_args(Mode)
"""Training without dropout; evaluation with gradients; evaluation in inference mode, where models take other paths."""


class Forward(Protocol):
    """How the contract is called."""

    def __call__(
        self,
        tokens: Tensor,
        memory: Memory | None = None,
        *,
        starts: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> tuple[Tensor, Memory]:
        """Logits and the next memory."""
        ...


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model that laws are checked on, and how long the streams are that it reads."""

    model: nn.Module
    """A float64 copy; its state must not be changed by a law."""

    vocab_size: int
    dtype: torch.dtype
    """The type that the weights had before they became float64."""

    length: int
    """Tokens of each lane of a long stream."""

    seed: int
    mode: Mode = "evaluating"

    @classmethod
    def of(cls, model: nn.Module, *, vocab_size: int | None = None, length: int = 32, seed: int = 0) -> Self:
        """A subject made of a copy of `model`, which itself stays as it is; an encoder-decoder has read sources.

        Raises:
            ConfigError: the size of the vocabulary is not given and the model has no ``config.vocab_size``; or there
                are too few tokens in it, or in a stream, to tell whether a law is kept.
        """
        if vocab_size is None:
            vocab_size = getattr(getattr(model, "config", None), "vocab_size", None)
        if not isinstance(vocab_size, int):
            raise ConfigError(
                f"{type(model).__name__} has no config.vocab_size. Give verify_contract(model, vocab_size=...)."
            )
        for name, (size, least) in {"vocab_size": (vocab_size, 2), "length": (length, SHORTEST)}.items():
            if size < least:
                raise ConfigError(f"{name}={size} is too small to hear a model on the laws. Give {least} or more.")
        floats = [p.dtype for p in model.parameters() if p.is_floating_point()]
        with torch.random.fork_rng(devices=[]):
            ours = without_dropout(model).double()
        stir_weights(ours, seed=seed)
        dtype = floats[0] if floats else torch.float32
        if isinstance(ours, Seq2Seq):
            ours = Reading(ours, vocab_size=vocab_size, seed=seed)
        return cls(model=ours, vocab_size=vocab_size, dtype=dtype, length=length, seed=seed)

    def in_mode(self, mode: Mode) -> Self:
        """A copy of the model, used in another way."""
        twin = self.twin()
        return replace(twin, model=twin.model.train(mode == "training"), mode=mode)

    def in_type(self, dtype: torch.dtype) -> Self:
        """A copy of the model with weights of another type."""
        twin = self.twin()
        return replace(twin, model=twin.model.to(dtype))

    def stirred(self, draw: int) -> Self:
        """A copy of the model with more noise in its weights."""
        twin = self.twin()
        stir_weights(twin.model, seed=1000 * self.seed + draw)
        return twin

    def twin(self) -> Self:
        """A copy that shares nothing with this model."""
        # Weights copied in inference mode take other kernels and round otherwise.
        with torch.inference_mode(False):
            return replace(self, model=copy.deepcopy(self.model))

    @property
    def has_gradients(self) -> bool:
        """Whether outputs can be differentiated in this mode."""
        return self.mode != "decoding"

    def __call__(
        self,
        tokens: Tensor,
        memory: Memory | None = None,
        *,
        starts: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> tuple[Tensor, Memory]:
        """Logits and the next memory of one call, in the form that the contract states.

        Raises:
            ContractViolation: the model returned something else.
        """
        forward: Forward = self.model
        logits, after = forward(tokens, memory, starts=starts, lengths=lengths)
        expected = (*tokens.shape, self.vocab_size)
        if tuple(logits.shape) != expected:
            raise ContractViolation(f"logits have shape {list(logits.shape)} instead of {list(expected)}")
        _require_memory(after)
        return logits, after

    def init_memory(self, lanes: int = LANES) -> Memory:
        """A new memory.

        Raises:
            ContractViolation: it is not an `everlong.Memory`.
        """
        make: Any = self.model.init_memory
        memory: Memory = make(lanes)
        _require_memory(memory)
        return memory

    def read(
        self, tokens: Tensor, memory: Memory | None = None, *, starts: Tensor | None = None, cuts: Iterable[int]
    ) -> tuple[Tensor, Memory]:
        """Logits and memory of a stream that is read in pieces, cut before each token of `cuts`."""
        parts: list[Tensor] = []
        last = self.init_memory(tokens.shape[0]) if memory is None else memory
        for begin, end in pairwise([0, *sorted(set(cuts) - {0}), tokens.shape[1]]):
            begun = None if starts is None else starts[:, begin:end]
            logits, last = self(tokens[:, begin:end], last, starts=begun)
            parts.append(logits)
        return torch.cat(parts, dim=1), last

    def gradients(self, outputs: Sequence[Tensor]) -> dict[str, Tensor]:
        """The gradient of a fixed random mixture of all outputs, by parameter; zeros where there is none."""
        rng = self.rng(salt=1)
        loss = torch.stack([(out * self._normal(out, rng)).sum() for out in outputs]).sum()
        named = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        found = torch.autograd.grad(loss, list(named.values()), materialize_grads=True)
        return dict(zip(named, found, strict=True))

    def rng(self, *, salt: int = 0) -> torch.Generator:
        """A source of chance of its own for every law and every call of it."""
        return torch.Generator().manual_seed(1000 * self.seed + salt)

    def tokens(self, time: int, *, rng: torch.Generator, lanes: int = LANES) -> Tensor:
        """A random chunk."""
        return torch.randint(self.vocab_size, (lanes, time), generator=rng).to(self.device)

    def starts(self, time: int, *, rng: torch.Generator, lanes: int = LANES) -> Tensor:
        """Random beginnings of documents, one in nine tokens."""
        return (torch.rand(lanes, time, generator=rng) < 1 / 9).to(self.device)

    @property
    def owner(self) -> nn.Module:
        """Whose memories these are: the model itself, without the sources it is given to read."""
        return self.model.model if isinstance(self.model, Reading) else self.model

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next((p.device for p in self.model.parameters()), torch.device("cpu"))

    def _normal(self, like: Tensor, rng: torch.Generator) -> Tensor:
        return torch.randn(like.shape, generator=rng, dtype=torch.float64).to(like)


def poisoned(memory: Memory, lanes: Sequence[int] | None = None) -> Memory:
    """The memory with NaN in every floating leaf of some lanes; or of all lanes, their sources excepted."""
    spared = memory.source_axes if lanes is None and isinstance(memory, SourceMemory) else ()
    leaves = dict(memory.flatten())
    for name, leaf in leaves.items():
        if leaf.is_floating_point() and name not in spared:
            leaves[name] = leaf.clone()
            leaves[name][slice(None) if lanes is None else list(lanes)] = torch.nan
    return type(memory)(**leaves).made_by(memory.maker)


def without_dropout(model: nn.Module) -> nn.Module:
    """A copy in which no dropout happens: rates in the config and in `nn.Dropout` modules are 0."""
    fields: dict[str, Any] = getattr(getattr(model, "config", None), "__dict__", {})
    rates = {name: 0.0 for name, value in fields.items() if "dropout" in name and value}
    again: Any = getattr(model, "with_config", None)
    ours: nn.Module = again(**rates) if rates and again is not None else copy.deepcopy(model)
    for part in ours.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    return ours


@torch.no_grad()
def stir_weights(model: nn.Module, *, seed: int) -> None:
    """Add noise to every weight, so that a term whose weights begin at zero cannot hide a mistake."""
    rng = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.is_floating_point():
            spread = 0.5 / math.sqrt(parameter.shape[-1]) if parameter.ndim > 1 else 0.1
            noise = torch.randn(parameter.shape, generator=rng, dtype=torch.float64)
            parameter.add_(noise.to(parameter) * spread)


def _require_memory(memory: object) -> None:
    if not isinstance(memory, Memory):
        raise ContractViolation(
            f"the memory is a {type(memory).__name__}, not an everlong.Memory; declare it with @memory_type"
        )
