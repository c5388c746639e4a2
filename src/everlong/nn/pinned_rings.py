"""Rings with pins in front, as wide as each layer looks back, and what a chunk or a token alone sees of them.

    slots of a layer    |  pins: n slots, in order  |  ring: capacity slots, oldest first  |

The layers' slots stand one after the other in one tensor, so that a layer with a narrow window costs no more than it
needs. A band lies on the line of ring and chunk, where distance is a difference of indices (everlong.nn.window). The
distance to a pin grows without end, so it is not measured: whichever token looks, the pins stand where the slots have
them, directly before the oldest entry of a full ring. That is a function of nothing but the order of the pins, no
rotation is larger than those that a window needs, and StreamingLLM found it to be what keeps a stream stable
(Xiao et al., 2024, arXiv:2309.17453, section 3.2).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from everlong.clock import Clock
from everlong.nn.attention import Look, attend_jointly, scale
from everlong.nn.pins import Pins, beside_band
from everlong.nn.position import Rotary
from everlong.nn.window import Sight, look_back, push, query_block, together


@dataclass(frozen=True, kw_only=True)
class Band:
    """How a layer looks back."""

    window: int
    """Tokens that a head sees, the one that looks included."""

    dilations: tuple[int, ...]
    """For each head, how many tokens apart those are."""

    @property
    def reach(self) -> int:
        """Distance of the farthest token that any head sees."""
        return (self.window - 1) * max(self.dilations)

    @property
    def capacity(self) -> int:
        """Slots of the ring: a token decoded alone finds itself in the last one."""
        return self.reach + 1

    @property
    def groups(self) -> list[tuple[slice | None, int]]:
        """Neighbouring heads with the same dilation; ``None`` for all."""
        return head_groups(self.dilations)


def head_groups(dilations: Sequence[int]) -> list[tuple[slice | None, int]]:
    """Neighbouring heads with the same dilation, and that dilation; ``None`` where all heads have one.

    >>> head_groups((1, 1, 3))
    [(slice(0, 2, None), 1), (slice(2, 3, None), 3)]
    """
    if len(set(dilations)) == 1:
        return [(None, dilations[0])]
    groups: list[tuple[slice | None, int]] = []
    at = 0
    for dilation, heads in groupby(dilations):
        size = len(list(heads))
        groups.append((slice(at, at + size), dilation))
        at += size
    return groups


@dataclass(frozen=True, kw_only=True)
class Line:
    """Keys and values, the rotations of where they stand and of where those stand who look, and who sees what."""

    keys: Float[Tensor, "b u d"]
    values: Float[Tensor, "b u d"]
    key_angles: Float[Tensor, "u 2 f"]
    query_angles: Float[Tensor, "t 2 f"]
    sight: Sight


class View(Protocol):
    """What the tokens of a call see in a layer."""

    def read(
        self,
        query: Float[Tensor, "b t h e"],
        slots: Float[Tensor, "b s k"],
        entries: Float[Tensor, "b t k"],
        *,
        dropout: float,
    ) -> Float[Tensor, "b t h e"]:
        """What they read there, in one softmax, with this share of weights dropped."""
        ...

    def after(self, slots: Float[Tensor, "b s k"], entries: Float[Tensor, "b t k"]) -> Float[Tensor, "b s k"]:
        """The slots after the call."""
        ...


class ChunkView:
    """A band over ring and chunk, and beside it the pins, which are asked with queries that stand elsewhere."""

    def __init__(self, band: Band, *, pins: Pins, rotary: Rotary, like: Tensor) -> None:
        clock, self._pins, self._capacity, self._rotary = pins.clock, pins, band.capacity, rotary
        self._band = together(*(self._look_back(band, clock, dilation, heads) for heads, dilation in band.groups))
        blocks = [
            block
            for heads, dilation in band.groups
            for block in pins.blocks(window=band.window, dilation=dilation, heads=heads)
        ]
        self._aside = Sight(capacity=0, oldest=0, blocks=tuple(blocks))
        length, full = band.capacity - self._band.oldest + clock.time, pins.count + band.capacity
        angles = rotary.angles(max(length, full), like=like)
        self._line_angles = angles[:length]
        self._pin_angles, self._far_angle = angles[: pins.count], angles[full - 1 : full]

    @staticmethod
    def _look_back(band: Band, clock: Clock, dilation: int, heads: slice | None) -> Sight:
        reach = torch.full_like(clock.position, (band.window - 1) * dilation)
        return look_back(
            clock, reach, capacity=band.capacity, block=query_block(band.window), dilation=dilation, heads=heads
        )

    def read(
        self,
        query: Float[Tensor, "b t h e"],
        slots: Float[Tensor, "b s k"],
        entries: Float[Tensor, "b t k"],
        *,
        dropout: float,
    ) -> Float[Tensor, "b t h e"]:
        """What the tokens read from the lines together."""
        looks: list[Look] = []
        for line in self.lines(slots, entries):
            key, value = (part.unflatten(-1, query.shape[2:]) for part in (line.keys, line.values))
            asked, key = self._rotary(query, line.query_angles), self._rotary(key, line.key_angles)
            looks.append(Look(query=asked, key=key, value=value, sight=line.sight))
        return attend_jointly(looks, dropout=dropout)

    def lines(self, slots: Float[Tensor, "b s k"], entries: Float[Tensor, "b t k"]) -> list[Line]:
        """The band's line, and the pins if any token sees one."""
        pinned, ring = self._parted(slots)
        angles, time = self._line_angles, entries.shape[1]
        past = ring[:, self._band.oldest :].to(entries.dtype)
        # Keys and values apart: once keys are turned, nobody needs them as they were.
        pairs = zip(past.chunk(2, dim=-1), entries.chunk(2, dim=-1), strict=True)
        keys, values = (torch.cat(pair, dim=1) for pair in pairs)
        lines = [Line(keys=keys, values=values, key_angles=angles, query_angles=angles[-time:], sight=self._band)]
        if self._aside.blocks:
            keys, values = self._pins.read(pinned.to(entries.dtype), entries).chunk(2, dim=-1)
            turns = self._pin_angles.repeat(keys.shape[1] // self._pins.count, 1, 1)
            far = self._far_angle.expand(time, -1, -1)
            lines.append(Line(keys=keys, values=values, key_angles=turns, query_angles=far, sight=self._aside))
        return lines

    def after(self, slots: Float[Tensor, "b s k"], entries: Float[Tensor, "b t k"]) -> Float[Tensor, "b s k"]:
        """The ring moved on, and the pins of the document that each lane is in now."""
        pinned, ring = self._parted(slots)
        entries = entries.to(slots.dtype)
        return torch.cat([self._pins.kept(pinned, entries), push(ring, entries, clock=self._pins.clock)], dim=1)

    def _parted(self, slots: Tensor) -> list[Tensor]:
        return list(slots.split([self._pins.count, self._capacity], dim=1))


class TokenView:
    """What a token decoded alone sees: pins and ring are one line, in whose last slot, freed before, it writes itself.

    A score is a function of distance, so one query is turned to meet all keys as they are: ``R_n q . R_k k`` is
    ``R_{n-k} q . k``. Slots are written in place.
    """

    def __init__(self, band: Band, *, pins: Pins, rotary: Rotary, like: Tensor) -> None:
        position, full = pins.clock.position, pins.count + band.capacity
        # By distance, from the farthest slot on, and as wide as all heads.
        angles = rotary.angles(full, like=like).flip(0)[:, :, None]
        self._turns = angles.expand(-1, -1, 2 * len(band.dilations), -1).flatten(2)
        self._count = pins.count
        self._fills = None if pins.settled else position == torch.arange(pins.count, device=position.device)
        back = torch.arange(band.capacity - 1, -1, -1, device=position.device)
        seen: list[Tensor] = []
        for heads, dilation in band.groups:
            near = (back <= (band.window - 1) * dilation) & (back % dilation == 0) & (back <= position)
            far = beside_band(position, count=pins.count, window=band.window, dilation=dilation)
            shown = torch.cat([far[:, 0], near], dim=1)[:, None]
            seen.append(shown if heads is None else shown.expand(-1, heads.stop - heads.start, -1))
        hidden = ~torch.cat(seen, dim=1)
        self._hidden = hidden if bool(hidden.any()) else None

    def read(
        self,
        query: Float[Tensor, "b 1 h e"],
        slots: Float[Tensor, "b s k"],
        entries: Float[Tensor, "b 1 k"],
        *,
        dropout: float,
    ) -> Float[Tensor, "b 1 h e"]:
        """What the token reads from the slots, its own entry among them. No weight is dropped in evaluation."""
        del dropout
        slots[:, -1:] = entries
        if self._fills is not None:
            pinned = slots[:, : self._count]
            pinned.copy_(torch.where(self._fills[..., None], entries, pinned))
        keys, values = slots.chunk(2, dim=-1)
        query = query.to(slots.dtype) * scale(query.shape[-1])
        left, right = query.chunk(2, dim=-1)
        aside = torch.cat([-right, left], dim=-1)
        cos, sin = self._turns.unbind(1)
        products = (query.flatten(2) * cos).addcmul_(aside.flatten(2), sin).mul_(keys)
        scores = products.unflatten(-1, query.shape[2:]).sum(dim=-1).transpose(1, 2)
        if self._hidden is not None:
            scores = scores.masked_fill(self._hidden, -torch.inf)
        weights = scores.softmax(dim=-1)[:, :, None]
        seen = weights @ values.unflatten(-1, query.shape[2:]).transpose(1, 2)
        return seen.transpose(1, 2).to(entries.dtype)

    def after(self, slots: Float[Tensor, "b s k"], entries: Float[Tensor, "b 1 k"]) -> Float[Tensor, "b s k"]:
        """The slots, in which the entry is already."""
        del entries
        return slots


class PinnedRings:
    """The slots of all layers during one call: a layer takes its own with its view, and leaves its entries here."""

    def __init__(
        self,
        state: Float[Tensor, "b s k"],
        *,
        bands: Sequence[Band],
        count: int,
        clock: Clock,
        rotary: Rotary,
        in_place: bool,
    ) -> None:
        """In-place writing goes to a copy made here, and only where no gradient needs the slots as they were."""
        sizes = [count + band.capacity for band in bands]
        self._fills = in_place and clock.time == 1 and clock.lengths is None and not torch.is_grad_enabled()
        own = [_own(slots, count=count, clock=clock) for slots in state.split(sizes, dim=1)]
        self._state = _moved_on(own, count=count) if self._fills else state
        self.slots = self._state.split(sizes, dim=1) if self._fills else own
        pins = Pins(clock, count)
        kind = TokenView if self._fills else ChunkView
        views = {band: kind(band, pins=pins, rotary=rotary, like=state) for band in set(bands)}
        self.views: list[View] = [views[band] for band in bands]
        self._after: list[Tensor] = []

    def keep(self, entries: Float[Tensor, "b t k"]) -> None:
        """Leave a layer's entries, in the order of the layers."""
        layer = len(self._after)
        self._after.append(self.views[layer].after(self.slots[layer], entries))

    def after(self) -> Float[Tensor, "b s k"]:
        """The slots of all layers after the call."""
        return self._state if self._fills else torch.cat(self._after, dim=1)


def _own(slots: Float[Tensor, "b s k"], *, count: int, clock: Clock) -> Float[Tensor, "b s k"]:
    """The slots with zeros wherever the lane's current document has put nothing: zero times a NaN is a NaN."""
    size = slots.shape[1]
    if int(clock.before.min()) >= max(count, size - count):
        return slots
    index, before = torch.arange(size, device=slots.device), clock.before[:, None]
    filled = torch.where(index < count, index < before, index >= size - before)
    if clock.lengths is not None:
        # An idle lane keeps its memory bit for bit, what an earlier document left in it included.
        filled = filled | (clock.lengths == 0)[:, None]
    return torch.where(filled[..., None], slots, 0)


def _moved_on(slots: Sequence[Float[Tensor, "b _ k"]], *, count: int) -> Float[Tensor, "b s k"]:
    """A copy of all slots, every ring one entry older, whose newest slot is still to be written."""
    return torch.cat([part for own in slots for part in (own[:, :count], own[:, count + 1 :], own[:, -1:])], dim=1)
