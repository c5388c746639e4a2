"""Neural Turing Machine (Graves, Wayne & Danihelka, 2014, arXiv:1410.5401) as a causal language model.

    each head    k = tanh(.)   beta = softplus(.)   g = s(.)   s = softmax(.)   gamma = 1 + softplus(.)
                 w_c = softmax_i(beta cos(k, M_i))            w_g = g w_c + (1 - g) w_(t-1)
                 w~_i = sum_o w_g[(i - o) mod N] s[o]         w_i = w~_i^gamma / sum_j w~_j^gamma
    write heads  M~_i = M_i prod_h (1 - w_i e_h)              M_i = M~_i + sum_h w_i a_h         e = s(.)   a = tanh(.)
    read heads   r_h = sum_i w_i M_i

All heads address the matrix as the step before left it; all erase before any adds; reads see what was just written.

As Collier & Beel (2018, arXiv:1807.08518) found it to train: keys and additions within tanh, the interface clipped at
20, a matrix that begins at 1e-6, and learned first reads and first weights of the heads, which tell equal rows apart.
Heads begin in the first row and would rather step than search: spread over rows that are all alike, they hardly learned
to copy at all (docs/log.md).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from everlong.clock import Clock
from everlong.memory import Memory, memory_type
from everlong.models.machine import MachineConfig, MachineModel, Touched
from everlong.models.registry import register
from everlong.nn.content import (
    Asked,
    Found,
    ask,
    ask_back,
    find,
    find_back,
    inverse_lengths,
    inverse_lengths_back,
    softmax_back,
)
from everlong.nn.interface import Interface, Told
from everlong.nn.machine import Leaves, MachineState, Read, together
from everlong.nn.shifting import (
    SHIFTS,
    interpolate,
    interpolate_back,
    neighbours,
    sharpen,
    sharpen_back,
    shift,
    shift_back,
)

FIRST_MATRIX = 1e-6
FIRST_ROW = 10.0
"""First logit of the first row in the weights that a head begins with; 0 is that of the others."""
FIRST_GATE = -2.0
"""First bias of the gates, before the sigmoid: of a head's weights 0.12 are found by content, the rest by stepping."""


class NTMConfig(MachineConfig):
    """Sizes of a controller, a matrix and the heads that move over it."""

    n_reads: int = Field(default=1, ge=1)
    n_writes: int = Field(default=1, ge=1)
    """Heads that write."""


@memory_type
class NTMMemory(Memory):
    """The matrix, where each head stands, what was read last, and the controller's state."""

    position: Int[Tensor, "b"]
    hidden: Float[Tensor, "b l d"]
    cell: Float[Tensor, "b l d"]
    read: Float[Tensor, "b k"]
    matrix: Float[Tensor, "b s w"]
    weights: Float[Tensor, "b h s"]


class _Kept(NamedTuple):
    """What a step computed. Matrices stay where they are; the rest is put together for a whole chunk."""

    matrices: list[Tensor]
    before: Tensor
    after: Tensor
    additions: Tensor
    erasures: Tensor
    gates: Tensor
    powers: Tensor
    kernel: Tensor
    asked: Asked
    found: Found
    gated: Tensor
    moved: Tensor


class _Factors(NamedTuple):
    """What the gradients of a step are multiplied by, as far as it is known before they are."""

    kept: _Kept
    difference: Tensor
    neighbours: Tensor
    unit: Tensor
    cubed: Tensor


class NTMAccess:
    """Heads that read come first, then those that write."""

    def __init__(self, *, n_reads: int, n_writes: int, slot_size: int) -> None:
        heads = n_reads + n_writes
        self.n_reads, self.n_writes, self.slot_size, self.heads = n_reads, n_writes, slot_size, heads
        self.interface = Interface(
            {
                "keys": ("tanh", heads * slot_size),
                "additions": ("tanh", n_writes * slot_size),
                "erasures": ("sigmoid", n_writes * slot_size),
                "gates": ("sigmoid", heads),
                "strengths": ("softplus", heads),
                "powers": ("oneplus", heads),
                "shifts": ("linear", heads * SHIFTS),
            }
        )

    def step(self, told: Told, leaves: Leaves) -> tuple[Read, Leaves, Any]:
        """Address, erase, add, read."""
        matrix, before = leaves
        lanes = len(told)
        keys, additions, erasures, gates, strengths, powers, shifts = self.interface.cut(told)
        keys = keys.view(lanes, self.heads, -1)
        additions, erasures = (part.view(lanes, self.n_writes, -1) for part in (additions, erasures))
        kernel = shifts.view(lanes, self.heads, SHIFTS).softmax(dim=-1)
        asked = ask(keys, strengths, None)
        found = find(matrix, asked.query, inverse_lengths(matrix, None))
        gated = interpolate(found.weights, before, gates)
        moved = shift(gated, kernel)
        weights = sharpen(moved, powers)
        reading, writing = weights.split([self.n_reads, self.n_writes], dim=1)
        matrices = [matrix]
        for head in range(self.n_writes):
            erased = writing[:, head, :, None] * erasures[:, head, None]
            matrices.append(torch.addcmul(matrices[-1], matrices[-1], erased, value=-1))
        matrices.append(torch.baddbmm(matrices[-1], writing.mT, additions))
        read = torch.bmm(reading, matrices[-1])
        kept = _Kept(
            matrices, before, weights, additions, erasures, gates, powers, kernel, asked, found, gated, moved
        )  # fmt: skip
        return read.view(lanes, -1), (matrices[-1], weights), kept

    def factors(self, kept: Sequence[_Kept]) -> Sequence[_Factors]:
        """What is known of the backward pass before it begins."""
        _, *parts = zip(*kept, strict=True)
        k = _Kept([], *map(together, parts))
        return [
            _Factors(*step)
            for step in zip(
                kept,
                k.found.weights - k.before,
                neighbours(k.gated),
                k.asked.masked * k.asked.inverse,
                k.found.inverse**3,
                strict=True,
            )
        ]

    def back(self, factor: _Factors, d_read: Read, d_leaves: Leaves) -> tuple[Told, Leaves]:
        """The same, from the end."""
        f, k = factor, factor.kept
        d_matrix, d_after = d_leaves
        lanes = len(d_read)
        reading, writing = k.after.split([self.n_reads, self.n_writes], dim=1)
        d_read = d_read.view(lanes, self.n_reads, -1)
        d_matrix.baddbmm_(reading.mT, d_read)
        d_writing, d_additions = torch.bmm(k.additions, d_matrix.mT), torch.bmm(writing, d_matrix)
        d_erasures = torch.empty_like(k.erasures)
        for head in range(self.n_writes - 1, -1, -1):
            changed = d_matrix * k.matrices[head]
            d_writing[:, head] -= torch.bmm(changed, k.erasures[:, head, :, None])[..., 0]
            d_erasures[:, head] = torch.bmm(writing[:, head, None], changed)[:, 0].neg_()
            erased = writing[:, head, :, None] * k.erasures[:, head, None]
            d_matrix = torch.addcmul(d_matrix, d_matrix, erased, value=-1)
        d_weights = torch.cat([torch.bmm(d_read, k.matrices[-1].mT), d_writing], dim=1).add_(d_after)
        d_moved, d_powers = sharpen_back(k.moved, k.powers, k.after, d_weights)
        d_gated, d_kernel = shift_back(f.neighbours, k.kernel, d_moved)
        d_content, d_before, d_gates = interpolate_back(f.difference, k.gates, d_gated)
        d_query, d_inverse = find_back(k.found, k.matrices[0], k.asked.query, d_content, d_matrix)
        inverse_lengths_back(k.matrices[0], None, f.cubed, d_inverse.sum(dim=1, keepdim=True), d_matrix)
        d_keys, d_strengths = ask_back(f.unit, k.asked.scale, d_query)
        d_told = torch.cat(
            [
                d_keys.flatten(1),
                d_additions.flatten(1),
                d_erasures.flatten(1),
                d_gates,
                d_strengths,
                d_powers,
                softmax_back(k.kernel, d_kernel).flatten(1),
            ],
            dim=1,
        )
        return d_told, (d_matrix, d_before)


@register("ntm", kind="causal")
class NTM(MachineModel[NTMMemory]):
    """Controller whose heads find rows of a matrix by content, or step from row to row."""

    Config = NTMConfig
    # Where no document begins, nothing depends on how one does.
    idle_weights = True

    def __init__(self, config: NTMConfig) -> None:
        access = NTMAccess(n_reads=config.n_reads, n_writes=config.n_writes, slot_size=config.slot_size)
        super().__init__(config, access)
        self.first_read = nn.Parameter(torch.randn(config.n_reads * config.slot_size) * 0.1)
        first_weights = torch.zeros(access.heads, config.memory_slots)
        first_weights[:, 0] = FIRST_ROW
        self.first_weights = nn.Parameter(first_weights)
        self.interface.bias.data[access.interface.place("gates")] = FIRST_GATE

    @property
    def config(self) -> NTMConfig:
        """The config this model was built from."""
        return self._config  # pyright: ignore[reportReturnType]

    def init_memory(self, lanes: int) -> NTMMemory:
        """Zeros: what a document begins with is learned, and put there when its first token is read."""
        slots, heads = self.config.memory_slots, self.config.n_reads + self.config.n_writes
        leaves = (self.empty(lanes, slots, self.config.slot_size), self.empty(lanes, heads, slots))
        position = torch.zeros(lanes, dtype=torch.int64, device=self.device)
        return self._memory(self.silent(lanes, leaves), position).made_by(self)

    def leaves_of(self, memory: NTMMemory) -> Leaves:
        """Matrix and heads."""
        return memory.matrix, memory.weights

    def fresh(self, lanes: int) -> MachineState:
        """An even matrix, and the learned first reads and places of the heads."""
        matrix = torch.full_like(self.empty(lanes, self.config.memory_slots, self.config.slot_size), FIRST_MATRIX)
        weights = self.first_weights.softmax(dim=-1).expand(lanes, -1, -1)
        return self.silent(lanes, (matrix, weights))._replace(read=self.first_read.expand(lanes, -1))

    def remember(self, state: MachineState, clock: Clock) -> NTMMemory:
        """The memory that holds a state."""
        return self._memory(state, clock.following)

    def touched(self, before: NTMMemory, after: NTMMemory) -> Touched:
        """Where the heads stand after a step is where it wrote and read."""
        del before
        reads, writes = after.weights.split([self.config.n_reads, self.config.n_writes], dim=1)
        return Touched(writes=writes, reads=reads, usage=None)

    def _memory(self, state: MachineState, position: Tensor) -> NTMMemory:
        hidden, cell, read, (matrix, weights) = state
        return NTMMemory(position=position, hidden=hidden, cell=cell, read=read, matrix=matrix, weights=weights)
