"""What a model remembers: a frozen tree of tensors with the lane first in every one.

A memory is an argument and a result, never a hidden state, so it can be detached, saved, forked, moved between lanes
and sent to another device by the same few verbs, whatever the architecture:

    memory = model.init_memory(4)
    logits, memory = model(tokens, memory)
    twins = memory.select(torch.tensor([2, 2]))        # lane 2, twice: two branches of one past
    memory.save("alice.memory")

Each architecture declares its own type in its own file:

    @memory_type
    class RecurrentMemory(Memory):
        hidden: Float[Tensor, "b l d"]
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar, dataclass_transform

import torch
import torch.export
from jaxtyping import Bool, Int
from torch import Tensor

from everlong.errors import DamagedFile, MemoryMismatch
from everlong.storage import read_tensors, write_tensors

FORMAT = "everlong-memory-1"
BESIDE = "beside."  # no field of a memory has a dot in its name

M = TypeVar("M", bound="Memory")
V = TypeVar("V")
Layout = dict[str, tuple[tuple[int | str, ...], torch.dtype]]
M_co = TypeVar("M_co", bound="Memory", covariant=True)


class Maker(Protocol):
    """Who made a memory; only a model of the same architecture, config and weights can use it."""

    architecture: ClassVar[str]
    """The name in the registry."""

    def config_json(self) -> str:
        """The config as canonical JSON."""
        ...

    def config_defaults(self) -> Mapping[str, Any]:
        """The fields that a config need not name, as JSON values: what a file has that is older than a field."""
        ...

    def weights_digest(self) -> str:
        """SHA-256 of the weights, in hexadecimal."""
        ...


class MemoryModel(Maker, Protocol[M_co]):
    """A maker that can lay out an empty memory, against which a file is checked."""

    def init_memory(self, lanes: int) -> M_co:
        """An empty memory of that many lanes."""
        ...


class Memory:
    """An immutable tree of tensors. Dimension 0 of every leaf is the lane.

    Every memory has ``position``: how many tokens of its current document each lane has read. Position 0 is a new
    lane; whatever its other leaves hold then is never used, but for a source that it was made to read
    (everlong.models.seq2seq).
    """

    position: Int[Tensor, "b"]

    # Not a field: it names where the tensors come from and is no part of the tree.
    maker: ClassVar[Maker | None] = None

    @property
    def lanes(self) -> int:
        """How many streams this memory holds."""
        return self.position.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of all leaves together. It never changes while a model reads."""
        return sum(leaf.nbytes for leaf in self.flatten().values())

    def flatten(self) -> dict[str, Tensor]:
        """The leaves by field name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # pyright: ignore[reportArgumentType]

    @classmethod
    def layout_of(cls, leaves: Mapping[str, Tensor]) -> Layout:
        """Shape and type of every leaf, with the word ``lanes`` for their number: alike in all memories of a model."""
        lanes = leaves["position"].shape[0]
        return {
            name: (
                tuple("lanes" if axis == 0 and size == lanes else size for axis, size in enumerate(x.shape)),
                x.dtype,
            )
            for name, x in leaves.items()
        }

    def made_by(self, maker: Maker | None) -> Self:
        """This memory, signed by the model that made it; `save` writes the signature."""
        object.__setattr__(self, "maker", maker)
        return self

    def map(self, fn: Callable[[Tensor], Tensor]) -> Self:
        """The memory whose leaves are `fn` of these leaves."""
        return type(self)(**{name: fn(leaf) for name, leaf in self.flatten().items()}).made_by(self.maker)

    def merge(self, other: Self, fn: Callable[[Tensor, Tensor], Tensor]) -> Self:
        """The memory whose leaves are `fn` of the leaves of both.

        Raises:
            MemoryMismatch: the two memories have other types or slot shapes.
        """
        mine, theirs = self.flatten(), other.flatten()
        if type(self) is not type(other) or any(mine[n].shape[1:] != theirs[n].shape[1:] for n in mine):
            raise MemoryMismatch(
                f"a {type(other).__name__} of shape {_layout(other)} cannot be combined with a {type(self).__name__} "
                f"of shape {_layout(self)}. Use memories of one model in one mode (train or eval)."
            )
        return type(self)(**{name: fn(mine[name], theirs[name]) for name in mine}).made_by(self.maker)

    def detach(self) -> Self:
        """The same memory, cut off from the graph that computed it: gradients stop here."""
        return self.map(Tensor.detach)

    def to(self, device: torch.device | str) -> Self:
        """The same memory on another device."""
        return self.map(lambda leaf: leaf.to(device))

    def select(self, lanes: Int[Tensor, "k"]) -> Self:
        """The memories of these lanes, in this order. Repeats are allowed: that is how a session forks."""
        return self.map(lambda leaf: leaf.index_select(0, lanes.to(leaf.device)))

    def put(self, lanes: Int[Tensor, "k"], other: Self) -> Self:
        """This memory with the given lanes replaced by the lanes of `other`."""
        return self.merge(other, lambda mine, theirs: mine.index_copy(0, lanes.to(mine.device), theirs))

    def where(self, mask: Bool[Tensor, "b"], other: Self) -> Self:
        """This memory in the lanes where `mask` is true, `other` in the rest."""
        return self.merge(other, lambda mine, theirs: torch.where(_over_lanes(mask, mine), mine, theirs))

    def save(self, path: Path | str) -> None:
        """Write this memory to a file that only the model that made it will accept.

        Raises:
            MemoryMismatch: the memory was built by hand, so no model vouches for it.
            RunError: the disk is full, or the place may not be written to.
        """
        write_memory(Path(path), MemoryFile(memory=self))


@dataclass(frozen=True, kw_only=True)
class MemoryFile(Generic[M]):
    """A memory, and what somebody keeps in the same file; who asks for the memory alone never sees the rest."""

    memory: M
    beside: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    notes: Mapping[str, str] = field(default_factory=dict[str, str])


def load_memory(path: Path | str, model: MemoryModel[M]) -> M:
    """The memory in a file, checked against the model that is to use it. A session's file will do.

    Raises:
        DamagedFile: the file is missing, truncated or altered, or is not a memory.
        MemoryMismatch: another architecture, configuration or set of weights made it.
    """
    return read_memory(Path(path), model).memory


def write_memory(path: Path, file: MemoryFile[Any]) -> None:
    """Write a memory with what is kept beside it.

    Raises:
        MemoryMismatch: the memory was built by hand, so no model vouches for it.
        RunError: the disk is full, or the place may not be written to.
    """
    maker = file.memory.maker
    if maker is None:
        raise MemoryMismatch(
            "this memory does not know which model made it. Save one that model.init_memory or model(...) returned."
        )
    header = {
        "format": FORMAT,
        "architecture": maker.architecture,
        "config": maker.config_json(),
        "weights": maker.weights_digest(),
    }
    beside = {BESIDE + name: tensor for name, tensor in file.beside.items()}
    notes = {BESIDE + name: note for name, note in file.notes.items()}
    write_tensors(path, {**file.memory.flatten(), **beside}, {**header, **notes})


def read_memory(path: Path, model: MemoryModel[M]) -> MemoryFile[M]:
    """The memory in a file, checked against the model that is to use it, and what is kept beside it.

    Raises:
        DamagedFile: the file is missing, truncated or altered, or is not a memory.
        MemoryMismatch: another architecture, configuration or set of weights made it.
    """
    tensors, header = read_tensors(path)
    leaves, beside = _split(tensors)
    if header.get("format") != FORMAT:
        raise DamagedFile(f"{path} is not a memory of this version of Everlong. Give a file that memory.save wrote.")
    _check_maker(path, header, model)
    if "position" not in leaves or leaves["position"].ndim != 1:
        raise DamagedFile(f"{path} holds no lanes. Give a file that memory.save wrote.")
    template = model.init_memory(leaves["position"].shape[0])
    expected = template.flatten()
    found, wanted = template.layout_of(leaves), template.layout_of(expected)
    if found != wanted:
        raise MemoryMismatch(
            f"{path} holds {found}, but the model needs {wanted}. "
            "A memory saved while training does not fit an evaluating model, or the reverse: "
            "call model.eval() and read again."
        )
    memory = type(template)(**{name: leaf.to(expected[name].device) for name, leaf in leaves.items()}).made_by(model)
    return MemoryFile(memory=memory, beside=beside, notes=_split(header)[1])


def _check_maker(path: Path, header: dict[str, str], model: Maker) -> None:
    if header["architecture"] != model.architecture:
        raise MemoryMismatch(
            f"{path} is a memory of '{header['architecture']}', this model is '{model.architecture}'. "
            "Load the model that made it."
        )
    theirs, ours = {**model.config_defaults(), **json.loads(header["config"])}, json.loads(model.config_json())
    if theirs != ours:
        field = next(name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name))
        raise MemoryMismatch(
            f"{path} was made with {field}={theirs.get(field)}, this model has {field}={ours.get(field)}. "
            "Load the model that made it."
        )
    if header["weights"] != model.weights_digest():
        raise MemoryMismatch(
            f"{path} was made by the same architecture with other weights. "
            "Load the weights that made it, or read the text again."
        )


@dataclass_transform(frozen_default=True, kw_only_default=True, eq_default=False)
def memory_type(cls: type[M]) -> type[M]:
    """Make a class a memory: frozen, keyword-only, compared by identity, and known to torch as a tree."""
    made = dataclasses.dataclass(frozen=True, kw_only=True, eq=False)(cls)
    torch.export.register_dataclass(made)
    return made


def _split(entries: Mapping[str, V]) -> tuple[dict[str, V], dict[str, V]]:
    """What belongs to the memory, and what is kept beside it under its own name."""
    own = {name: entry for name, entry in entries.items() if not name.startswith(BESIDE)}
    return own, {name.removeprefix(BESIDE): entry for name, entry in entries.items() if name not in own}


def _layout(memory: Memory) -> dict[str, tuple[int, ...]]:
    return {name: tuple(leaf.shape) for name, leaf in memory.flatten().items()}


def _over_lanes(mask: Bool[Tensor, "b"], leaf: Tensor) -> Tensor:
    return mask.to(leaf.device).reshape(-1, *[1] * (leaf.ndim - 1))
