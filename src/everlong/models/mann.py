"""Memory-augmented network with least-recently-used access (Santoro et al., 2016, arXiv:1605.06065), as a causal model.

    write   w^w_r = s(alpha) w^r_(t-1) + (1 - s(alpha)) w^lu            M_i = M_i (1 - w^lu_i) + sum_r w^w_r,i k_r
    read    w^r_r = softmax_i(cos(k_r, M_i))                            r_r = sum_i w^r_r,i M_i
    usage   w^u = gamma w^u_(t-1) + sum_r w^r_r + sum_r w^w_r           w^lu = 1 at the n least used slots of w^u_(t-1)

A key is both what is sought and what is written: beside what was read at the step before, or into the `n_reads` slots
that were used least, which are emptied first. There are exactly that many, ties broken by index. `alpha` is one learned
number, and usage carries no gradient. Keys stay within tanh: what is added in a step is bounded.

The paper's reads are never sharp: of 128 slots one that is all a key asks for, among empty ones, gets e / (e + 127) of
the weight, 2%. With `strengths` each head tells how much its cosines are multiplied by, at least 1, as an NTM's and a
DNC's heads do (Graves et al., 2016).

A task presents each input with the answer to the one before it, and begins every episode as a document: the memory is
wiped there.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from everlong.clock import Clock
from everlong.memory import Memory, memory_type
from everlong.models.machine import MachineConfig, MachineModel, Touched
from everlong.models.registry import register
from everlong.nn.allocation import least_used
from everlong.nn.content import Asked, Found, ask, ask_back, find, find_back, inverse_lengths, inverse_lengths_back
from everlong.nn.interface import CLIP, Interface, Told
from everlong.nn.machine import Leaves, MachineState, Read, Weights, together


class MANNConfig(MachineConfig):
    """Sizes of a controller and its matrix, and how fast use is forgotten."""

    usage_decay: float = Field(default=0.99, ge=0.0, lt=1.0)
    """What is left of a slot's usage after a step."""
    strengths: bool = False
    """Whether heads tell how sharply they read."""

    @model_validator(mode="after")
    def _enough_slots(self) -> Self:
        if self.n_reads > self.memory_slots:
            raise ValueError(
                f"n_reads={self.n_reads} heads write that many slots in a step, of memory_slots="
                f"{self.memory_slots}; give at least as many slots as heads."
            )
        return self


@memory_type
class MANNMemory(Memory):
    """The matrix, how much each slot was used and where was read last, and the controller's state."""

    position: Int[Tensor, "b"]
    hidden: Float[Tensor, "b l d"]
    cell: Float[Tensor, "b l d"]
    read: Float[Tensor, "b k"]
    matrix: Float[Tensor, "b s w"]
    usage: Float[Tensor, "b s"]
    reading: Float[Tensor, "b h s"]


class _Kept(NamedTuple):
    """What a step computed. The matrix stays where it is; the rest is put together for a whole chunk."""

    matrix: Tensor
    keys: Tensor
    alpha: Tensor
    unused: Tensor
    before: Tensor
    writing: Tensor
    asked: Asked
    found: Found


def write_weights(
    unused: Float[Tensor, "b s"], before: Float[Tensor, "b h s"], alpha: Tensor
) -> Float[Tensor, "b h s"]:
    """Of each head: from the least used slots (`alpha` 0) to where it read at the step before (1)."""
    return torch.lerp(unused[:, None], before, alpha)


class _Factors(NamedTuple):
    """What the gradients of a step are multiplied by, as far as it is known before they are."""

    kept: _Kept
    held: Tensor
    difference: Tensor
    unit: Tensor
    cubed: Tensor


class MANNAccess:
    """Each head reads with its key, and writes it."""

    def __init__(self, *, n_reads: int, slot_size: int, usage_decay: float, strengths: bool) -> None:
        self.n_reads, self.usage_decay, self.strengths = n_reads, usage_decay, strengths
        self.interface = Interface(
            {
                "keys": ("tanh", n_reads * slot_size),
                "strengths": ("oneplus", n_reads * strengths),
                "alpha": ("sigmoid", 1),
            }
        )

    def step(self, told: Told, leaves: Leaves) -> tuple[Read, Leaves, Any]:
        """Empty, write, read, count."""
        matrix, usage, before = leaves
        lanes = len(told)
        keys, strengths, alpha = self.interface.cut(told)
        keys, alpha = keys.view(lanes, self.n_reads, -1), alpha[..., None]
        unused = least_used(usage, self.n_reads)
        writing = write_weights(unused, before, alpha)
        matrix = torch.baddbmm(matrix * (1 - unused)[..., None], writing.mT, keys)
        asked = ask(keys, strengths if self.strengths else torch.ones_like(keys[..., 0]), None)
        found = find(matrix, asked.query, inverse_lengths(matrix, None))
        usage = torch.add(found.weights.sum(dim=1) + writing.sum(dim=1), usage, alpha=self.usage_decay)
        read = torch.bmm(found.weights, matrix).view(lanes, -1)
        kept = _Kept(matrix, keys, alpha, unused, before, writing, asked, found)
        return read, (matrix, usage, found.weights), kept

    def factors(self, kept: Sequence[_Kept]) -> Sequence[_Factors]:
        """What is known of the backward pass before it begins."""
        matrices, *parts = zip(*kept, strict=True)
        k = _Kept(matrices[0], *map(together, parts))
        return [
            _Factors(*step)
            for step in zip(
                kept,
                (1 - k.unused)[..., None],
                k.before - k.unused[:, :, None],
                k.asked.masked * k.asked.inverse,
                k.found.inverse**3,
                strict=True,
            )
        ]

    def back(self, factor: _Factors, d_read: Read, d_leaves: Leaves) -> tuple[Told, Leaves]:
        """The same, from the end."""
        f, k = factor, factor.kept
        d_matrix, d_usage, d_reading = d_leaves
        d_read = d_read.view(len(d_read), self.n_reads, -1)
        d_found = d_reading.baddbmm_(d_read, k.matrix.mT)
        d_matrix.baddbmm_(k.found.weights.mT, d_read)
        d_query, d_inverse = find_back(k.found, k.matrix, k.asked.query, d_found, d_matrix)
        inverse_lengths_back(k.matrix, None, f.cubed, d_inverse.sum(dim=1, keepdim=True), d_matrix)
        d_keys, d_strengths = ask_back(f.unit, k.asked.scale, d_query)
        d_keys.baddbmm_(k.writing, d_matrix)
        d_writing = torch.bmm(k.keys, d_matrix.mT)
        d_alpha = (d_writing * f.difference).sum(dim=(1, 2))
        d_strengths = d_strengths[:, : self.n_reads * self.strengths]
        d_told = torch.cat([d_keys.flatten(1), d_strengths, d_alpha[:, None]], dim=1)
        return d_told, (d_matrix.mul_(f.held), torch.zeros_like(d_usage), d_writing.mul_(k.alpha))


@register("mann", kind="causal")
class MANN(MachineModel[MANNMemory]):
    """Controller that writes what is new over what was used least (least-recently-used access)."""

    Config = MANNConfig

    def __init__(self, config: MANNConfig) -> None:
        super().__init__(
            config,
            MANNAccess(
                n_reads=config.n_reads,
                slot_size=config.slot_size,
                usage_decay=config.usage_decay,
                strengths=config.strengths,
            ),
        )
        self.interface = nn.Linear(config.d_model, config.n_reads * (config.slot_size + config.strengths))
        self.alpha = nn.Parameter(torch.zeros(1))

    @property
    def config(self) -> MANNConfig:
        """The config this model was built from."""
        return self._config  # pyright: ignore[reportReturnType]

    def weights(self) -> Weights:
        """Everything that multiplies inside a step; alpha is told by no controller, so its row is empty."""
        bias = torch.cat([self.interface.bias, self.alpha])
        return super().weights()._replace(interface=F.pad(self.interface.weight, (0, 0, 0, 1)), interface_bias=bias)

    def init_memory(self, lanes: int) -> MANNMemory:
        """Nothing written, nothing used."""
        position = torch.zeros(lanes, dtype=torch.int64, device=self.device)
        return self._memory(self.fresh(lanes), position).made_by(self)

    def leaves_of(self, memory: MANNMemory) -> Leaves:
        """Matrix, usage, and where was read last."""
        return memory.matrix, memory.usage, memory.reading

    def fresh(self, lanes: int) -> MachineState:
        """Nothing written, nothing used."""
        c = self.config
        matrix, usage = self.empty(lanes, c.memory_slots, c.slot_size), self.empty(lanes, c.memory_slots)
        return self.silent(lanes, (matrix, usage, self.empty(lanes, c.n_reads, c.memory_slots)))

    def remember(self, state: MachineState, clock: Clock) -> MANNMemory:
        """The memory that holds a state."""
        return self._memory(state, clock.following)

    def touched(self, before: MANNMemory, after: MANNMemory) -> Touched:
        """Weights of the reads and usage as a step left them; it wrote where the memory before it tells."""
        alpha = self.alpha.clamp(-CLIP, CLIP).sigmoid()
        unused = least_used(before.usage, self.config.n_reads)
        return Touched(writes=write_weights(unused, before.reading, alpha), reads=after.reading, usage=after.usage)

    def _memory(self, state: MachineState, position: Tensor) -> MANNMemory:
        hidden, cell, read, (matrix, usage, reading) = state
        return MANNMemory(
            position=position, hidden=hidden, cell=cell, read=read, matrix=matrix, usage=usage, reading=reading
        )
