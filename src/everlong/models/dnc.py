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

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from everlong.clock import Clock
from everlong.memory import Memory, memory_type
from everlong.models.machine import MachineConfig, MachineModel, Touched
from everlong.models.registry import register
from everlong.nn.allocation import (
    Allocation,
    AllocationFactors,
    UseFactors,
    allocate,
    allocate_back,
    kept_by_each,
    least_used_first,
    product_of_others,
    use,
)
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
from everlong.nn.interface import Interface, Range, Told
from everlong.nn.links import follow, follow_back, link, link_back, precede, precede_back
from everlong.nn.machine import Leaves, MachineState, Read, by_step, together
from everlong.nn.shifting import sharpen, sharpen_back

MODES = 3
ON_THEIR_OWN = 5
"""So many of the first entries of `_Kept` are not put together for a whole chunk."""


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
    """What a step computed. Everything above `told` is as large as a memory and stays where it is."""

    matrix: Tensor
    links: Tensor
    new_matrix: Tensor
    new_links: Tensor
    change: Tensor
    told: _Told
    usage: Tensor
    precedence: Tensor
    reading: Tensor
    writing: Tensor
    new_reading: Tensor
    new_writing: Tensor
    left: Tensor
    retention: Tensor
    order: Tensor
    allocation: Allocation
    asked: Asked
    to_write: Found
    to_read: Found
    mixed: Tensor
    followed: Tensor
    ways: Tensor


class _Factors(NamedTuple):
    """What the gradients of a step are multiplied by, as far as it is known before they are."""

    kept: _Kept
    modes: Tensor
    cubed: Tensor
    write_cubed: Tensor
    gates: Tensor
    to_shares: Tensor
    to_content: Tensor
    total: Tensor
    unit: Tensor
    scale: Tensor
    use: UseFactors
    allocation: AllocationFactors
    to_free: Tensor
    to_reading: Tensor


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
        matrix, usage, precedence, links, reading, writing, *lengths = leaves
        x = self._parts(told)
        left = kept_by_each(reading, x.free)
        retention = left.prod(dim=1)
        new_usage = use(usage, writing, retention)
        order = least_used_first(new_usage)
        allocation = allocate(new_usage, order)
        asked = ask(x.keys, x.strengths, x.masks)
        write_mask, read_masks = _by_kind(x.masks)
        write_query, read_query = asked.query[:, :1], asked.query[:, 1:]
        to_write = find(matrix, write_query, lengths[0] if lengths else inverse_lengths(matrix, write_mask))
        mixed = torch.lerp(to_write.weights[:, 0], allocation.shares, x.allocation_gate)
        new_writing = mixed * x.write_gate
        base = matrix * retention[..., None] if self.deallocate else matrix
        change = torch.addcmul(x.value[:, None], x.erase[:, None], base, value=-1)
        new_matrix = torch.addcmul(base, new_writing[..., None], change)
        new_links = link(links, precedence, new_writing)
        back, on = follow(new_links, reading)
        followed = torch.cat([back, on], dim=1)
        if self.sharpen_links:
            back, on = sharpen(followed, x.powers).chunk(2, dim=1)
        new_lengths = inverse_lengths(new_matrix, read_masks)
        to_read = find(new_matrix, read_query, new_lengths)
        ways = torch.stack([back, to_read.weights, on], dim=1)
        new_reading = (x.modes.mT[..., None] * ways).sum(dim=1)
        kept = _Kept(
            matrix, links, new_matrix, new_links, change, x, usage, precedence, reading, writing, new_reading,
            new_writing, left, retention, order, allocation, asked, to_write, to_read, mixed, followed, ways,
        )  # fmt: skip
        after = (new_matrix, new_usage, precede(precedence, new_writing), new_links, new_reading, new_writing)
        if read_masks is None:
            after = (*after, new_lengths)
        return torch.bmm(new_reading, new_matrix).view(len(told), -1), after, kept

    def factors(self, kept: Sequence[_Kept]) -> Sequence[_Factors]:
        """What is known of the backward pass before it begins."""
        parts = list[Any](zip(*kept, strict=True))
        k = _Kept(*parts[:ON_THEIR_OWN], *map(together, parts[ON_THEIR_OWN:]))
        x, shares, content = k.told, k.allocation.shares, k.to_write.weights[:, :, 0]
        others = product_of_others(k.left).neg_()
        chosen = x.write_gate * x.allocation_gate
        return [
            _Factors(step, *rest)
            for step, *rest in zip(
                kept,
                x.modes.mT[..., None],
                k.to_read.inverse**3,
                k.to_write.inverse**3,
                torch.stack([x.write_gate * (shares - content), k.mixed], dim=2),
                chosen,
                x.write_gate - chosen,
                k.new_writing.sum(dim=-1, keepdim=True),
                k.asked.masked * k.asked.inverse,
                k.asked.scale,
                by_step(UseFactors.of(k.usage, k.writing, k.retention)),
                by_step(AllocationFactors.of(k.order, *k.allocation[1:])),
                others * k.reading,
                others * x.free[..., None],
                strict=True,
            )
        ]

    def back(self, factor: _Factors, d_read: Read, d_leaves: Leaves) -> tuple[Told, Leaves]:
        """The same, from the end."""
        f, k, x = factor, factor.kept, factor.kept.told
        d_matrix, d_usage, d_precedence, d_links, d_reading, d_writing, *d_lengths = d_leaves
        d_read = d_read.view(len(d_read), self.n_reads, -1)
        write_mask, read_masks = _by_kind(x.masks)
        write_query, read_query = k.asked.query[:, :1], k.asked.query[:, 1:]

        d_reading = d_reading.baddbmm_(d_read, k.new_matrix.mT)[:, None]
        d_matrix.baddbmm_(k.new_reading.mT, d_read)
        d_modes = softmax_back(x.modes, (k.ways * d_reading).sum(dim=-1).mT)
        d_back, d_found, d_on = (f.modes * d_reading).unbind(1)
        d_read_query, d_inverse = find_back(k.to_read, k.new_matrix, read_query, d_found, d_matrix)
        if d_lengths:
            d_inverse = d_inverse.sum(dim=1, keepdim=True).add_(d_lengths[0])
        d_read_mask = inverse_lengths_back(k.new_matrix, read_masks, f.cubed, d_inverse, d_matrix)
        d_powers = x.powers
        if self.sharpen_links:
            sharp = torch.cat([k.ways[:, 0], k.ways[:, 2]], dim=1)
            d_followed, d_powers = sharpen_back(k.followed, x.powers, sharp, torch.cat([d_back, d_on], dim=1))
            d_back, d_on = d_followed.chunk(2, dim=1)
        d_old_reading = follow_back(k.new_links, k.reading, d_back, d_on, d_links)

        d_links, d_linked, d_linking = link_back(k.links, k.precedence, k.new_writing, d_links)
        d_old_precedence, d_preceding = precede_back(k.precedence, f.total, d_precedence)
        d_writing.add_((d_matrix * k.change).sum(dim=-1)).add_(d_linking).add_(d_preceding)
        written = k.new_writing[:, None]
        base = k.matrix * k.retention[..., None] if self.deallocate else k.matrix
        d_value = torch.bmm(written, d_matrix)[:, 0]
        d_erase = torch.bmm(written, d_matrix * base)[:, 0].neg_()
        d_base = torch.addcmul(d_matrix, d_matrix, written.mT * x.erase[:, None], value=-1)

        d_gates = (f.gates * d_writing[:, None]).sum(dim=-1)
        allocate_back(f.allocation, d_writing * f.to_shares, d_usage)
        d_retention = d_usage * f.use.retention
        if self.deallocate:
            d_retention.add_((d_base * k.matrix).sum(dim=-1))
            d_base.mul_(k.retention[..., None])
        d_content = (d_writing * f.to_content)[:, None]
        d_write_query, d_sought = find_back(k.to_write, k.matrix, write_query, d_content, d_base)
        d_free = (f.to_free * d_retention[:, None]).sum(dim=-1)
        d_old_reading.addcmul_(f.to_reading, d_retention[:, None])

        d_query = torch.cat([d_write_query, d_read_query], dim=1)
        d_write_mask = None
        if not d_lengths:
            d_write_mask = inverse_lengths_back(k.matrix, write_mask, f.write_cubed, d_sought, d_base)
        if x.masks is None or d_read_mask is None or d_write_mask is None:
            d_keys, d_strengths = ask_back(f.unit, f.scale, d_query)
            d_masks, d_found = d_value[:, :0], (d_sought,)
        else:
            d_masked, d_strengths = ask_back(f.unit, f.scale, d_query * x.masks)
            d_masks = torch.cat([d_write_mask, d_read_mask], dim=1).addcmul_(d_masked, x.keys)
            d_masks.addcmul_(d_query, k.asked.masked * f.scale)
            d_keys, d_found = d_masked * x.masks, ()
        parts = (d_keys, d_value, d_strengths, d_powers, d_erase, d_free, d_gates, d_masks, d_modes)
        d_told = torch.cat([part.flatten(1) for part in parts], dim=1)
        d_old_usage, d_old_writing = d_usage * f.use.usage, d_usage * f.use.written
        d_old_precedence = d_old_precedence.add_(d_linked)
        return d_told, (d_base, d_old_usage, d_old_precedence, d_links, d_old_reading, d_old_writing, *d_found)

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
        """Matrix, usage, precedence, links, and where was read and written last; and lengths of rows, found once."""
        m = memory
        return self._with_lengths((m.matrix, m.usage, m.precedence, m.links, m.reading, m.writing))

    def fresh(self, lanes: int) -> MachineState:
        """Nothing written, nothing linked."""
        slots, width, reads = self.config.memory_slots, self.config.slot_size, self.config.n_reads
        shapes = [(slots, width), (slots,), (slots,), (slots, slots), (reads, slots), (slots,)]
        return self.silent(lanes, self._with_lengths(tuple(self.empty(lanes, *shape) for shape in shapes)))

    def _with_lengths(self, leaves: Leaves) -> Leaves:
        return leaves if self.config.mask_keys else (*leaves, inverse_lengths(leaves[0], None))

    def remember(self, state: MachineState, clock: Clock) -> DNCMemory:
        """The memory that holds a state."""
        return self._memory(state, clock.following)

    def touched(self, before: DNCMemory, after: DNCMemory) -> Touched:
        """Weights and usage as a step left them; what it wrote counts as used from the next step on."""
        del before
        return Touched(writes=after.writing[:, None], reads=after.reading, usage=after.usage)

    def _memory(self, state: MachineState, position: Tensor) -> DNCMemory:
        hidden, cell, read, (matrix, usage, precedence, links, reading, writing, *_) = state
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
