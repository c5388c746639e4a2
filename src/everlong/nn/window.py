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
from dataclasses import dataclass, replace
from itertools import combinations

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from everlong.clock import Clock

QUERY_BLOCK = 128
"""Queries computed together unless said otherwise, as is best for relative attention: fewer waste time on calls, more
on pairs that no one may see."""

Join = Callable[[Float[Tensor, "b s k"], Float[Tensor, "b t k"]], Float[Tensor, "b u k"]]
"""Makes the line of one layer from its past and the chunk's entries."""


def push(
    ring: Shaped[Tensor, "b *mid s d"], entries: Shaped[Tensor, "b *mid t d"], *, clock: Clock
) -> Shaped[Tensor, "b *mid s d"]:
    """The ring after the chunk's real tokens: the last `s` entries of ring and chunk together, lane by lane."""
    capacity, time = ring.shape[-2], entries.shape[-2]
    if clock.lengths is None:
        if time >= capacity:
            return entries[..., time - capacity :, :].contiguous()
        return torch.cat([ring[..., time:, :], entries], dim=-2)
    line = torch.cat([ring, entries], dim=-2)
    index = clock.lengths[:, None] + torch.arange(capacity, device=ring.device)
    index = index.reshape(ring.shape[0], *[1] * (ring.ndim - 3), capacity, 1).expand_as(ring)
    return line.gather(-2, index)


def forget_others(ring: Float[Tensor, "b *mid s d"], *, clock: Clock, oldest: int = 0) -> Float[Tensor, "b *mid s d"]:
    """The ring with every slot zeroed that the lane's current document never filled.

    Such slots get no weight, but zero times a NaN is a NaN: what an empty slot holds must not matter at all. Nobody
    looks further back than the `oldest` slot; where no later ones are empty, the ring stays as it is.
    """
    capacity = ring.shape[-2]
    if int(clock.before.min()) >= capacity - oldest:
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

    heads: slice | None = None
    """The heads that look this way; ``None`` for all."""

    lane: int | None = None
    """The one lane that looks this way; ``None`` for all."""

    phases: int = 1
    """Of one lane: how many such blocks stand side by side, each a place further on. They take the lanes' axis."""

    def rows(self, x: Tensor) -> Tensor:
        """The block's queries in ``[b, t, h, ...]``, as a view."""
        return self._view(x, self.queries)

    def columns(self, x: Tensor) -> Tensor:
        """The block's keys in ``[b, s, h, ...]``, as a view."""
        return self._view(x, self.keys)

    def _view(self, x: Tensor, span: slice) -> Tensor:
        if self.lane is None:
            return x[:, span, self.heads or slice(None)]
        last = range(span.stop)[span][-1]
        stretch = x[self.lane, span.start : last + self.phases, self.heads or slice(None)]
        return stretch.unfold(0, self.phases, span.step).movedim(-1, 0)


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What every token of a chunk may see, cut into blocks that are worth computing."""

    capacity: int
    oldest: int
    """Index on the line of the oldest entry that anyone sees: older ones need not be projected."""

    blocks: tuple[Block, ...]
    overlaps: int = 0
    """How many of the last blocks may have queries of a head that blocks before them have, to share their softmax."""

    def moved(self, places: int) -> "Sight":
        """The same plan for a line with so many more entries in front."""
        blocks = (replace(block, keys=_moved(block.keys, places)) for block in self.blocks)
        return replace(self, blocks=tuple(blocks))

    def shifted(self, places: int) -> "Sight":
        """The same plan for a text that begins so many places further on, its queries and its keys."""
        blocks = (
            replace(block, queries=_moved(block.queries, places), keys=_moved(block.keys, places))
            for block in self.blocks
        )
        return replace(self, blocks=tuple(blocks))


def query_block(window: int) -> int:
    """Queries that are worth computing together by everlong.nn.attention, in a band of this width (docs/log.md)."""
    return 64 if window <= 512 else 256


def look_back(
    clock: Clock,
    reach: Int[Tensor, "b t"],
    *,
    capacity: int,
    block: int = QUERY_BLOCK,
    dilation: int = 1,
    heads: slice | None = None,
) -> Sight:
    """Plan the attention of a chunk in which token `t` sees itself and `reach[b, t]` tokens before it.

    The reach is cut at the beginning of the document, so callers need not mind it. Cost follows what is visible: each
    block of queries gets only its stretch of keys, and no mask when its queries see all of it. Blocks that look alike
    share one mask, and so do lanes.

    Args:
        clock: the chunk.
        reach: how far back each token sees, in tokens.
        capacity: slots of the ring before the chunk.
        block: queries computed together.
        dilation: of the tokens in reach, only those are seen whose distance is a multiple of this.
        heads: the heads that look this way; ``None`` for all.
    """
    time, lanes = clock.time, reach.shape[0]
    # The plan is made where Python can read it; only masks go to the device.
    here = capacity + torch.arange(time)
    first = here - torch.minimum(reach, clock.position).cpu() // dilation * dilation
    if lanes > 1 and bool((first == first[:1]).all()):
        first = first[:1]
    blocks: list[Block] = []
    alike: dict[tuple[int, int], tuple[Tensor, Tensor | None]] = {}
    for residue in range(min(dilation, time)):
        for at in range(residue, time, block * dilation):
            queries = slice(at, min(at + block * dilation, time), dilation)
            ours, stops = first[:, queries], here[queries]
            low, high = (int(bound) for bound in ours.aminmax())
            keys = slice(low, int(stops[-1]) + 1, dilation)
            size = (len(stops), len(range(keys.stop)[keys]))
            known, visible = alike.get(size, (None, None))
            if known is None or not torch.equal(known, ours - low):
                visible = None
                if high > low:
                    index = torch.arange(keys.start, keys.stop, dilation)
                    visible = (index >= ours[..., None]) & (index <= stops[:, None])
                    visible = visible.to(reach.device).expand(lanes, -1, -1)
                alike[size] = (ours - low, visible)
            blocks.append(Block(queries=queries, keys=keys, visible=visible, heads=heads))
    return _from_oldest(blocks, capacity=capacity, overlaps=0)


def together(*sights: Sight) -> Sight:
    """One plan out of several over the same line, for all of which there is one softmax.

    Heads may be dealt out over the plans, or a query may find its keys in several of them; no key may be found twice.
    """
    blocks = [block for sight in sights for block in sight.moved(sight.oldest).blocks]
    shared = any(_share_heads(a.blocks[0], b.blocks[0]) for a, b in combinations(sights, 2))
    overlaps = len(blocks) - len(sights[0].blocks) + sights[0].overlaps
    overlaps = overlaps if shared or any(sight.overlaps for sight in sights) else 0
    return _from_oldest(blocks, capacity=sights[0].capacity, overlaps=overlaps)


def _share_heads(a: Block, b: Block) -> bool:
    return a.heads is None or b.heads is None or (a.heads.start < b.heads.stop and b.heads.start < a.heads.stop)


def _from_oldest(blocks: list[Block], *, capacity: int, overlaps: int) -> Sight:
    oldest = min(block.keys.start for block in blocks)
    sight = Sight(capacity=capacity, oldest=oldest, blocks=tuple(blocks), overlaps=overlaps)
    return sight.moved(-oldest)


def _moved(keys: slice, places: int) -> slice:
    return slice(keys.start + places, keys.stop + places, keys.step)


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
    return torch.cat([past.to(entries.dtype), entries], dim=1) if past.shape[1] else entries


def _fill(line: Float[Tensor, "b s k"], entry: Float[Tensor, "b 1 k"]) -> Float[Tensor, "b s k"]:
    line[:, -1:] = entry
    return line.to(entry.dtype)


def _moved_on(state: Float[Tensor, "b l s k"]) -> Float[Tensor, "b l s k"]:
    """A copy of the rings, one entry older, whose newest slot is still to be written."""
    return torch.cat([state[:, :, 1:], state.new_empty(*state.shape[:2], 1, state.shape[3])], dim=2)
