"""Differentiable Neural Computer (Graves et al., 2016, doi:10.1038/nature20101) as a causal language model.

    psi_i = prod_r (1 - f^r w^r_(t-1),i)                       u = (u + w^w_(t-1) - u w^w_(t-1)) psi
    a     = allocation of u, free slots first                  c^w = content(M_(t-1), k^w, beta^w)
    w^w   = g^w (g^a a + (1 - g^a) c^w)                        M_t = M_(t-1) (1 - w^w e^T) + w^w v^T
    L_ij  = (1 - w^w_i - w^w_j) L_ij + w^w_i p_(t-1),j         p_t = (1 - sum w^w) p_(t-1) + w^w
    w^r   = pi_1 L^T w^r_(t-1) + pi_2 content(M_t, k^r, beta^r) + pi_3 L w^r_(t-1)          r = M_t^T w^r

Strengths are 1 + softplus(.), as in the paper; the interface is clipped at 20. Three repairs of Csordás & Schmidhuber
(2019, arXiv:1904.10278) are options: freed slots lose their content (``M_(t-1) psi`` is what is erased from and added
to); keys come with masks, and ask for a part of a row; and the two directions of the links are sharpened, each to a
power.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from everlong.clock import Clock
from everlong.memory import Memory, memory_type
from everlong.models.machine import MachineConfig, MachineModel, Touched
from everlong.models.registry import register
from everlong.nn.allocation import (
    allocate,
    allocate_back,
    kept_by_each,
    least_used_first,
    product_of_others,
    use,
    use_back,
)
from everlong.nn.content import Asked, Found, ask, ask_back, find, find_back, softmax_back
from everlong.nn.interface import Interface, Range, Told
from everlong.nn.links import follow, follow_back, link, link_back, precede, precede_back
from everlong.nn.machine import Leaves, MachineState, Read
from everlong.nn.shifting import sharpen, sharpen_back

MODES = 3


class DNCConfig(MachineConfig):
    """Sizes of a controller and its matrix, and repairs of the published equations."""

    deallocate: bool = False
    """Whether a slot that is set free loses its content."""
    mask_keys: bool = False
    """Whether keys come with masks."""
    sharpen_links: bool = False
    """Whether weights that follow the links are sharpened."""


@memory_type
class DNCMemory(Memory):
    """The matrix, its usage and links, where was read and written last, and the controller's state."""

    position: Int[Tensor, "b"]
    hidden: Float[Tensor, "b l d"]
    cell: Float[Tensor, "b l d"]
    read: Float[Tensor, "b k"]
    matrix: Float[Tensor, "b s w"]
    usage: Float[Tensor, "b s"]
    precedence: Float[Tensor, "b s"]
    links: Float[Tensor, "b s s"]
    reading: Float[Tensor, "b h s"]
    writing: Float[Tensor, "b s"]


class _Told(NamedTuple):
    """The parts of the interface, by head."""

    keys: Tensor
    value: Tensor
    strengths: Tensor
    powers: Tensor
    erase: Tensor
    free: Tensor
    allocation_gate: Tensor
    write_gate: Tensor
    masks: Tensor | None
    modes: Tensor


class _Kept(NamedTuple):
    told: _Told
    before: Leaves
    after: Leaves
    kept_by_each: Tensor
    retention: Tensor
    order: Tensor
    ordered: Tensor
    ahead: Tensor
    allocation: Tensor
    asked: Asked
    found_to_write: Found
    mixed: Tensor
    base: Tensor
    change: Tensor
    found_to_read: Found
    followed: Tensor
    ways: Tensor


class DNCAccess:
    """One head that writes, and `n_reads` that read; keys, strengths and masks of the writer come first."""

    def __init__(self, *, n_reads: int, slot_size: int, deallocate: bool, mask_keys: bool, sharpen_links: bool) -> None:
        self.n_reads, self.slot_size = n_reads, slot_size
        self.deallocate, self.sharpen_links = deallocate, sharpen_links
        keys = (1 + n_reads) * slot_size
        parts: dict[str, tuple[Range, int]] = {
            "keys": ("linear", keys),
            "value": ("linear", slot_size),
            "strengths": ("oneplus", 1 + n_reads),
            "powers": ("oneplus", 2 * n_reads * sharpen_links),
            "erase": ("sigmoid", slot_size),
            "free": ("sigmoid", n_reads),
            "allocation_gate": ("sigmoid", 1),
            "write_gate": ("sigmoid", 1),
            "masks": ("sigmoid", keys * mask_keys),
            "modes": ("linear", MODES * n_reads),
        }
        self.interface = Interface(parts)

    def step(self, told: Told, leaves: Leaves) -> tuple[Read, Leaves, Any]:
        """Free, allocate, write, link, read."""
        matrix, usage, precedence, links, reading, writing = leaves
        x = self._parts(told)
        left = kept_by_each(reading, x.free)
        retention = left.prod(dim=1)
        usage = use(usage, writing, retention)
        order = least_used_first(usage)
        allocation, ordered, ahead = allocate(usage, order)
        asked = ask(x.keys, x.strengths, x.masks)
        write_mask, read_masks = _by_kind(x.masks)
        found_to_write = find(matrix, asked.query[:, :1], write_mask)
        mixed = torch.lerp(found_to_write.weights[:, 0], allocation, x.allocation_gate)
        writing = mixed * x.write_gate
        base = matrix * retention[..., None] if self.deallocate else matrix
        change = torch.addcmul(x.value[:, None], x.erase[:, None], base, value=-1)
        matrix = torch.addcmul(base, writing[..., None], change)
        links, before = link(links, precedence, writing), reading
        precedence = precede(precedence, writing)
        followed = torch.cat(follow(links, before), dim=1)
        sharp = sharpen(followed, x.powers) if self.sharpen_links else followed
        found_to_read = find(matrix, asked.query[:, 1:], read_masks)
        ways = torch.stack([sharp[:, : self.n_reads], found_to_read.weights, sharp[:, self.n_reads :]], dim=2)
        reading = (x.modes[..., None] * ways).sum(dim=2)
        after = (matrix, usage, precedence, links, reading, writing)
        kept = _Kept(
            x, leaves, after, left, retention, order, ordered, ahead, allocation, asked, found_to_write, mixed,
            base, change, found_to_read, followed, ways,
        )  # fmt: skip
        return torch.bmm(reading, matrix).view(len(told), -1), after, kept

    def back(self, kept: _Kept, d_read: Read, d_leaves: Leaves) -> tuple[Told, Leaves]:
        """The same, from the end."""
        x = kept.told
        old_matrix, old_usage, old_precedence, old_links, old_reading, old_writing = kept.before
        matrix, _, _, links, reading, writing = kept.after
        d_matrix, d_usage, d_precedence, d_links, d_reading, d_writing = d_leaves
        d_read = d_read.view(len(d_read), self.n_reads, -1)
        write_mask, read_masks = _by_kind(x.masks)

        d_reading = torch.baddbmm(d_reading, d_read, matrix.mT)
        d_modes = softmax_back(x.modes, (kept.ways * d_reading[:, :, None]).sum(dim=-1))
        d_back, d_found, d_on = (x.modes[..., None] * d_reading[:, :, None]).unbind(2)
        d_sought, d_read_query, d_read_square = find_back(
            kept.found_to_read, matrix, kept.asked.query[:, 1:], read_masks, d_found
        )
        d_matrix = torch.baddbmm(d_matrix, reading.mT, d_read).add_(d_sought)
        d_powers = x.powers
        if self.sharpen_links:
            sharp = torch.cat([kept.ways[:, :, 0], kept.ways[:, :, 2]], dim=1)
            d_followed, d_powers = sharpen_back(kept.followed, x.powers, sharp, torch.cat([d_back, d_on], dim=1))
            d_back, d_on = d_followed.chunk(2, dim=1)
        d_links, d_old_reading = follow_back(links, old_reading, d_back, d_on, d_links)

        d_links, d_old_precedence, d_linked = link_back(old_links, old_precedence, writing, d_links)
        d_preceded, d_writing_too = precede_back(old_precedence, writing, d_precedence)
        d_writing = (d_matrix * kept.change).sum(dim=-1).add_(d_writing).add_(d_linked).add_(d_writing_too)
        d_value = torch.bmm(writing[:, None], d_matrix)[:, 0]
        d_erase = torch.bmm(writing[:, None], d_matrix * kept.base)[:, 0].neg_()
        d_base = torch.addcmul(d_matrix, d_matrix, writing[..., None] * x.erase[:, None], value=-1)

        d_write_gate = (d_writing * kept.mixed).sum(dim=-1, keepdim=True)
        d_mixed = d_writing * x.write_gate
        d_allocation = d_mixed * x.allocation_gate
        difference = kept.allocation - kept.found_to_write.weights[:, 0]
        d_allocation_gate = (d_mixed * difference).sum(dim=-1, keepdim=True)
        d_sought, d_write_query, d_write_square = find_back(
            kept.found_to_write, old_matrix, kept.asked.query[:, :1], write_mask, (d_mixed - d_allocation)[:, None]
        )
        d_usage = d_usage + allocate_back(kept.order, kept.ordered, kept.ahead, d_allocation)
        d_old_usage, d_old_writing, d_retention = use_back(old_usage, old_writing, kept.retention, d_usage)
        if self.deallocate:
            d_retention = d_retention + (d_base * old_matrix).sum(dim=-1)
            d_base = d_base * kept.retention[..., None]
        d_left = product_of_others(kept.kept_by_each) * d_retention[:, None]
        d_free = (d_left * old_reading).sum(dim=-1).neg_()
        d_old_reading = d_old_reading.addcmul_(d_left, x.free[..., None], value=-1)

        d_square = None
        if d_write_square is not None and d_read_square is not None:
            d_square = torch.cat([d_write_square, d_read_square], dim=1)
        d_query = torch.cat([d_write_query, d_read_query], dim=1)
        d_keys, d_strengths, d_masks = ask_back(kept.asked, x.keys, x.masks, d_query, d_square)
        parts = (d_keys, d_value, d_strengths, d_powers, d_erase, d_free, d_allocation_gate, d_write_gate)
        masks = d_value[:, :0] if d_masks is None else d_masks
        d_told = torch.cat([part.flatten(1) for part in (*parts, masks, d_modes)], dim=1)
        d_old_matrix = d_base.add_(d_sought)
        d_old_precedence = d_old_precedence.add_(d_preceded)
        return d_told, (d_old_matrix, d_old_usage, d_old_precedence, d_links, d_old_reading, d_old_writing)

    def _parts(self, told: Told) -> _Told:
        keys, value, strengths, powers, erase, free, allocation_gate, write_gate, masks, modes = self.interface.cut(
            told
        )
        lanes = len(told)
        return _Told(
            keys=keys.view(lanes, 1 + self.n_reads, -1),
            value=value,
            strengths=strengths,
            powers=powers,
            erase=erase,
            free=free,
            allocation_gate=allocation_gate,
            write_gate=write_gate,
            masks=masks.view(lanes, 1 + self.n_reads, -1) if masks.shape[1] else None,
            modes=modes.view(lanes, self.n_reads, MODES).softmax(dim=-1),
        )


def _by_kind(masks: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    return (None, None) if masks is None else (masks[:, :1], masks[:, 1:])


@register("dnc", kind="causal")
class DNC(MachineModel[DNCMemory]):
    """Controller that allocates free slots, finds them by content, and follows the order of writing."""

    Config = DNCConfig

    def __init__(self, config: DNCConfig) -> None:
        access = DNCAccess(
            n_reads=config.n_reads,
            slot_size=config.slot_size,
            deallocate=config.deallocate,
            mask_keys=config.mask_keys,
            sharpen_links=config.sharpen_links,
        )
        super().__init__(config, access)

    @property
    def config(self) -> DNCConfig:
        """The config this model was built from."""
        return self._config  # pyright: ignore[reportReturnType]

    def init_memory(self, lanes: int) -> DNCMemory:
        """Nothing written, nothing linked."""
        position = torch.zeros(lanes, dtype=torch.int64, device=self.device)
        return self._memory(self.fresh(lanes), position).made_by(self)

    def leaves_of(self, memory: DNCMemory) -> Leaves:
        """Matrix, usage, precedence, links, and where was read and written last."""
        m = memory
        return m.matrix, m.usage, m.precedence, m.links, m.reading, m.writing

    def fresh(self, lanes: int) -> MachineState:
        """Nothing written, nothing linked."""
        slots, width, reads = self.config.memory_slots, self.config.slot_size, self.config.n_reads
        shapes = [(slots, width), (slots,), (slots,), (slots, slots), (reads, slots), (slots,)]
        return self.silent(lanes, tuple(self.empty(lanes, *shape) for shape in shapes))

    def remember(self, state: MachineState, clock: Clock) -> DNCMemory:
        """The memory that holds a state."""
        return self._memory(state, clock.following)

    def touched(self, before: DNCMemory, after: DNCMemory) -> Touched:
        """Weights and usage as a step left them; what it wrote counts as used from the next step on."""
        del before
        return Touched(writes=after.writing[:, None], reads=after.reading, usage=after.usage)

    def _memory(self, state: MachineState, position: Tensor) -> DNCMemory:
        hidden, cell, read, (matrix, usage, precedence, links, reading, writing) = state
        return DNCMemory(
            position=position,
            hidden=hidden,
            cell=cell,
            read=read,
            matrix=matrix,
            usage=usage,
            precedence=precedence,
            links=links,
            reading=reading,
            writing=writing,
        )
