"""Rings of recent things, and who may look how far back in them.

A ring keeps the last `capacity` entries of a lane, oldest first, the newest always in the last slot. Put before the
chunk, slot and token indices then form one line on which distance is simply a difference, in every lane and whatever
the caller cut: entry `k` of the line is ``capacity + t - k`` tokens before token `t`. No slot needs to store its
position, ragged lanes need no other path, and all that differs between lanes is how far back a token may look.

    line      |  ring: capacity slots, oldest first  |  chunk: t tokens  |
    index k   0                                capacity            capacity + t

Who may look how far is the architecture's business and comes as `reach[b, t]`: how many earlier tokens of its document
token `t` sees. It must be a function of the token's position in its document alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from everlong.clock import Clock

QUERY_BLOCK = 128

Join = Callable[[Float[Tensor, "b s k"], Float[Tensor, "b t k"]], Float[Tensor, "b u k"]]
"""Makes the line of one layer from its past and the chunk's entries."""


def push(
    ring: Float[Tensor, "b *mid s d"], entries: Float[Tensor, "b *mid t d"], *, clock: Clock
) -> Float[Tensor, "b *mid s d"]:
    """The ring after the chunk's real tokens: the last `s` entries of ring and chunk together, lane by lane."""
    capacity, time = ring.shape[-2], entries.shape[-2]
    if clock.lengths is None:
        if time >= capacity:
            return entries[..., time - capacity :, :].contiguous()
        return torch.cat([ring[..., time:, :], entries], dim=-2)
    line = torch.cat([ring, entries], dim=-2)
    index = clock.lengths[:, None] + torch.arange(capacity, device=ring.device)
    index = index.reshape(-1, *[1] * (ring.ndim - 3), capacity, 1).expand_as(ring)
    return line.gather(-2, index)


def forget_others(ring: Float[Tensor, "b *mid s d"], *, clock: Clock) -> Float[Tensor, "b *mid s d"]:
    """The ring with every slot zeroed that the lane's current document never filled.

    Such slots get no weight, but zero times a NaN is a NaN: what an empty slot holds must not matter at all.
    """
    capacity = ring.shape[-2]
    if int(clock.before.min()) >= capacity:
        return ring
    filled = torch.arange(capacity, device=ring.device) >= capacity - clock.before[:, None]
    if clock.lengths is not None:
        # An idle lane keeps its memory bit for bit, what an earlier document left in it included.
        filled = filled | (clock.lengths == 0)[:, None]
    return torch.where(filled.reshape(-1, *[1] * (ring.ndim - 3), capacity, 1), ring, 0)


@dataclass(frozen=True, kw_only=True)
class Block:
    """Some queries of the chunk and the stretch of the line that holds all they may see."""

    queries: slice
    keys: slice
    """Counted from the oldest entry that any query of the chunk sees."""

    visible: Bool[Tensor, "b t s"] | None
    """Which keys each query sees; ``None`` when all up to itself."""


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What every token of a chunk may see, cut into blocks that are worth computing."""

    capacity: int
    oldest: int
    """Index on the line of the oldest entry that anyone sees: older ones need not be projected."""

    blocks: tuple[Block, ...]


def look_back(clock: Clock, reach: Int[Tensor, "b t"], *, capacity: int, block: int = QUERY_BLOCK) -> Sight:
    """Plan the attention of a chunk in which token `t` sees itself and `reach[b, t]` tokens before it.

    The reach is cut at the beginning of the document, so callers need not mind it. Cost follows what is visible: each
    block of queries gets only its stretch of keys, and no mask when its queries see all of it.
    """
    time = clock.time
    here = capacity + torch.arange(time, device=reach.device)
    first = here - torch.minimum(reach, clock.position)
    heads = list(range(0, time, block))
    spans = [first[:, at : at + block].aminmax() for at in heads]
    bounds = torch.stack([torch.stack(span) for span in spans]).tolist()
    oldest = min(low for low, _ in bounds)
    blocks: list[Block] = []
    for at, (low, high) in zip(heads, bounds, strict=True):
        queries = slice(at, min(at + block, time))
        keys = slice(low - oldest, capacity + queries.stop - oldest)
        visible = None
        if high > low:
            index = torch.arange(low, capacity + queries.stop, device=reach.device)
            visible = (index >= first[:, queries, None]) & (index <= here[queries, None])
        blocks.append(Block(queries=queries, keys=keys, visible=visible))
    return Sight(capacity=capacity, oldest=oldest, blocks=tuple(blocks))


class Rings:
    """The rings of all layers during one call: a layer takes its past, joins its entries to it, and leaves them here.

    A token that is decoded alone moves the rings once, before the layers, and each layer writes its entry into the slot
    that became free: the ring is the line then, and nothing is copied twice.
    """

    def __init__(self, state: Float[Tensor, "b l s k"], *, sight: Sight, clock: Clock, in_place: bool) -> None:
        """In-place writing goes to a copy made here, and only where no gradient needs the ring as it was."""
        self._clock = clock
        self._fills = in_place and clock.time == 1 and clock.lengths is None and not torch.is_grad_enabled()
        self._oldest = sight.oldest - self._fills
        self._state = _moved_on(state) if self._fills else state
        self._entries: list[Tensor] = []
        self.join: Join = _fill if self._fills else _append

    def past(self, layer: int) -> Float[Tensor, "b s k"]:
        """What a layer remembers, from the oldest entry that anyone sees."""
        return self._state[:, layer, self._oldest :]

    def keep(self, entries: Float[Tensor, "b t k"]) -> None:
        """Leave a layer's entries, in the order of the layers."""
        if self._clock.lengths is None:
            entries = entries[:, max(0, self._clock.time - self._state.shape[2]) :]
        self._entries.append(entries)

    def after(self) -> Float[Tensor, "b l s k"]:
        """The rings after the chunk."""
        if self._fills:
            return self._state
        return push(self._state, torch.stack(self._entries, dim=1).to(self._state.dtype), clock=self._clock)


def _append(past: Float[Tensor, "b s k"], entries: Float[Tensor, "b t k"]) -> Float[Tensor, "b u k"]:
    return torch.cat([past.to(entries.dtype), entries], dim=1)


def _fill(line: Float[Tensor, "b s k"], entry: Float[Tensor, "b 1 k"]) -> Float[Tensor, "b s k"]:
    line[:, -1:] = entry
    return line.to(entry.dtype)


def _moved_on(state: Float[Tensor, "b l s k"]) -> Float[Tensor, "b l s k"]:
    """A copy of the rings, one entry older, whose newest slot is still to be written."""
    return torch.cat([state[:, :, 1:], state.new_empty(*state.shape[:2], 1, state.shape[3])], dim=2)
