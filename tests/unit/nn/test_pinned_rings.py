"""Bands, pins and rings of whole stacks: what each token sees, at which distance, and what is written where."""

from typing import Any

import pytest
import torch
from torch import Tensor

from everlong.clock import Clock, tick
from everlong.nn.pinned_rings import Band, Line, PinnedRings, head_groups
from everlong.nn.position import Rotary

BANDS = [
    Band(window=3, dilations=(1, 1)),
    Band(window=3, dilations=(1, 2)),
    Band(window=1, dilations=(1, 1)),
    Band(window=2, dilations=(4, 4)),
]


class Indices(Rotary):
    """Angles that are the indices themselves, so that distances can be read from them."""

    def angles(self, count: int, *, like: Tensor) -> Tensor:
        return torch.arange(count, dtype=like.dtype)[:, None, None].expand(-1, 2, 1)


def test_head_groups() -> None:
    assert head_groups((2, 2, 2)) == [(None, 2)]
    assert head_groups((1, 3, 3, 1)) == [(slice(0, 1), 1), (slice(1, 3), 3), (slice(3, 4), 1)]


def test_sizes_of_a_band() -> None:
    band = Band(window=5, dilations=(1, 3))
    assert (band.reach, band.capacity) == (12, 13)


def rings_of(state: Tensor, clock: Clock, *, count: int) -> PinnedRings:
    rotary = Indices(width=2, base=2.0)
    return PinnedRings(state, bands=BANDS, count=count, clock=clock, rotary=rotary, in_place=False)


def new_state(*, lanes: int, count: int) -> Tensor:
    return torch.full((lanes, sum(count + band.capacity for band in BANDS), 2), torch.nan, dtype=torch.float64)


def seen_by(lines: list[Line], lane: int, t: int, head: int) -> list[tuple[float, int]]:
    """What a token sees, by its name, and how far away it seems; sorted."""
    seen: list[tuple[float, int]] = []
    for line in lines:
        for block in line.sight.blocks:
            heads, queries = range(2)[block.heads or slice(None)], range(len(line.query_angles))[block.queries]
            if head not in heads or t not in queries:
                continue
            keys = range(line.keys.shape[1])[block.keys]
            shown: Any = block.visible
            if shown is None:
                shown = torch.ones(len(line.keys), len(queries), len(keys)).tril(len(keys) - len(queries))
            for k in shown[lane, queries.index(t)].nonzero().flatten().tolist():
                distance = line.query_angles[t, 0, 0] - line.key_angles[keys[k], 0, 0]
                assert line.keys[lane, keys[k]].item() == -line.values[lane, keys[k]].item()
                seen.append((float(line.keys[lane, keys[k], 0]), int(distance)))
    return sorted(seen)


def expected_of(band: Band, *, position: int, document: int, head: int, count: int) -> list[tuple[float, int]]:
    steps = [i * band.dilations[head] for i in range(band.window)]
    seen = {position - step: step for step in steps if position >= step}
    for pin in range(min(count, position)):
        seen.setdefault(pin, band.reach + count - pin)
    return sorted((100.0 * document + at, distance) for at, distance in seen.items())


@pytest.mark.parametrize("count", [0, 1, 4, 9])
def test_every_token_sees_its_band_and_its_pins_each_once(count: int) -> None:
    """Read in chunks of several sizes."""
    lanes, time = 2, 26
    starts = torch.zeros(lanes, time, dtype=torch.bool)
    starts[0, 11] = starts[0, 13] = starts[1, 5] = True
    whole = tick(torch.zeros(lanes, dtype=torch.int64), time=time, starts=starts, lengths=None)
    document = starts.cumsum(dim=1)
    name = (100 * document + whole.position).double()
    state, position, at = new_state(lanes=lanes, count=count), torch.zeros(lanes, dtype=torch.int64), 0
    for size in (1, 1, 3, 1, 6, 1, 1, 9, 1, 2):
        span = slice(at, at + size)
        clock = tick(position, time=size, starts=starts[:, span], lengths=None)
        given = state.clone()
        with torch.no_grad():
            rings = rings_of(state, clock, count=count)
            entries = torch.stack([name[:, span], -name[:, span]], dim=-1)
            for band, slots, view in zip(BANDS, rings.slots, rings.views, strict=True):
                lines = view.lines(slots, entries)
                for lane in range(lanes):
                    for t in range(size):
                        for head in range(2):
                            expected = expected_of(
                                band,
                                position=int(whole.position[lane, at + t]),
                                document=int(document[lane, at + t]),
                                head=head,
                                count=count,
                            )
                            assert seen_by(lines, lane, t, head) == expected
                rings.keep(entries)
            after = rings.after()
        assert torch.equal(state.nan_to_num(nan=-1), given.nan_to_num(nan=-1))
        assert after.shape == state.shape
        assert bool(after.isfinite().all())
        state, position, at = after, clock.following, at + size
    assert at == time


@pytest.mark.parametrize("count", [0, 1, 4, 9])
def test_a_token_alone_reads_what_it_reads_in_a_chunk_and_leaves_the_same(count: int) -> None:
    """With documents that begin on the way in one lane, and in both."""
    rotary, heads, width = Rotary(width=4, base=10.0), 2, 8
    slots = sum(count + band.capacity for band in BANDS)
    state = torch.full((2, slots, 2 * width), torch.nan, dtype=torch.float64)
    position = torch.zeros(2, dtype=torch.int64)
    for t in range(26):
        starts = torch.tensor([[t in (11, 13)], [t in (5, 13)]])
        clock = tick(position, time=1, starts=starts, lengths=None)
        query, given = torch.randn(2, 1, heads, 4, dtype=torch.float64), state.clone()
        read: list[list[Tensor]] = []
        after: list[Tensor] = []
        entries = [torch.randn(2, 1, 2 * width, dtype=torch.float64) for _ in BANDS]
        for in_place in (True, False):
            with torch.no_grad():
                rings = PinnedRings(state, bands=BANDS, count=count, clock=clock, rotary=rotary, in_place=in_place)
                layers = list(zip(rings.views, rings.slots, entries, strict=True))
                read.append([view.read(query, own, entry, dropout=0.0) for view, own, entry in layers])
                for entry in entries:
                    rings.keep(entry)
                after.append(rings.after())
        for alone, in_chunk in zip(*read, strict=True):
            torch.testing.assert_close(alone, in_chunk, rtol=0, atol=1e-13)
        # A pin whose token is still to come holds what nobody sees.
        if int(clock.following.min()) >= count:
            assert torch.equal(*after)
        assert torch.equal(state.nan_to_num(nan=-1), given.nan_to_num(nan=-1))
        state, position = after[t % 2], clock.following


def test_an_idle_lane_keeps_every_bit_and_its_neighbour_moves_on() -> None:
    state = new_state(lanes=2, count=2)
    clock = tick(torch.tensor([0, 0]), time=3, starts=None, lengths=torch.tensor([0, 2]))
    rings = rings_of(state, clock, count=2)
    for _ in BANDS:
        rings.keep(torch.ones(2, 3, 2, dtype=torch.float64))
    after = rings.after()
    assert bool(after[0].isnan().all())
    assert bool(after[1].isfinite().all())


def test_layers_that_look_alike_share_a_plan() -> None:
    clock = tick(torch.tensor([0]), time=5, starts=None, lengths=None)
    bands, rotary = [BANDS[0], BANDS[1], BANDS[0]], Rotary(width=4, base=10.0)
    state = torch.zeros(1, sum(band.capacity for band in bands), 2)
    rings = PinnedRings(state, bands=bands, count=0, clock=clock, rotary=rotary, in_place=False)
    assert rings.views[0] is rings.views[2]
    assert rings.views[0] is not rings.views[1]


@pytest.mark.parametrize("dilation", [1, 4])
def test_pairs_that_are_scored_follow_the_window(dilation: int) -> None:
    """A window four times smaller costs less than half the pairs; a text four times longer, four times as many."""
    pairs: dict[tuple[int, int], int] = {}
    for window, time in [(256, 4096), (64, 4096), (256, 16384)]:
        band = Band(window=window, dilations=(dilation,))
        clock = tick(torch.tensor([10**6]), time=time, starts=None, lengths=None)
        state = torch.zeros(1, 8 + band.capacity, 2)
        rings = PinnedRings(
            state, bands=[band], count=8, clock=clock, rotary=Rotary(width=2, base=10.0), in_place=False
        )
        lines = rings.views[0].lines(rings.slots[0], torch.zeros(1, time, 2))
        spans = [(block.queries, block.keys) for line in lines for block in line.sight.blocks]
        pairs[window, time] = sum(len(range(q.stop)[q]) * len(range(k.stop)[k]) for q, k in spans)
    assert pairs[256, 4096] < 1.3 * 4096 * 264
    assert pairs[64, 4096] < 0.5 * pairs[256, 4096]
    assert pairs[256, 16384] < 4.01 * pairs[256, 4096]
