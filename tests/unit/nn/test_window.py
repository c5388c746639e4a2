"""Rings, what is forgotten, and who sees what."""

import pytest
import torch
from torch import Tensor

from everlong.clock import Clock, tick
from everlong.nn.window import Rings, forget_others, look_back, push


def clock_of(*, before: list[int], time: int, lengths: list[int] | None = None, starts: Tensor | None = None) -> Clock:
    real = None if lengths is None else torch.tensor(lengths)
    return tick(torch.tensor(before), time=time, starts=starts, lengths=real)


@pytest.mark.parametrize("time", [1, 2, 3, 4, 9])
def test_push_keeps_the_newest(time: int) -> None:
    ring, entries = torch.randn(2, 3, 5), torch.randn(2, time, 5)
    found = push(ring, entries, clock=clock_of(before=[7, 7], time=time))
    assert torch.equal(found, torch.cat([ring, entries], dim=1)[:, -3:])
    assert found.is_contiguous()


@pytest.mark.parametrize("middle", [(), (2,), (2, 3)])
def test_push_moves_each_lane_by_its_own_length(middle: tuple[int, ...]) -> None:
    ring, entries = torch.randn(3, *middle, 4, 5), torch.randn(3, *middle, 6, 5)
    found = push(ring, entries, clock=clock_of(before=[9, 9, 9], time=6, lengths=[0, 2, 6]))
    assert torch.equal(found[0], ring[0])
    assert torch.equal(found[1], torch.cat([ring[1, ..., 2:, :], entries[1, ..., :2, :]], dim=-2))
    assert torch.equal(found[2], entries[2, ..., 2:, :])


def test_slots_of_no_document_of_ours_are_zeroed() -> None:
    ring = torch.full((4, 2, 3, 5), torch.nan)
    ring[1, :, 1:], ring[2] = 1.0, 2.0
    starts = torch.zeros(4, 2, dtype=torch.bool)
    starts[3, 0] = True
    found = forget_others(ring, clock=clock_of(before=[0, 2, 9, 9], time=2, starts=starts))
    assert torch.equal(found[0], torch.zeros(2, 3, 5))
    assert torch.equal(found[1, 0, :, 0], torch.tensor([0.0, 1.0, 1.0]))
    assert torch.equal(found[2], ring[2])
    assert torch.equal(found[3], torch.zeros(2, 3, 5))


def test_an_idle_lane_forgets_nothing() -> None:
    ring = torch.randn(2, 3, 5)
    found = forget_others(ring, clock=clock_of(before=[1, 1], time=2, lengths=[0, 2]))
    assert torch.equal(found[0], ring[0])
    assert torch.equal(found[1, :2], torch.zeros(2, 5))


def test_a_full_ring_is_not_copied() -> None:
    ring = torch.randn(2, 3, 5)
    assert forget_others(ring, clock=clock_of(before=[3, 8], time=2)) is ring


def test_empty_slots_that_nobody_looks_at_stay() -> None:
    ring = torch.randn(2, 4, 5)
    assert forget_others(ring, clock=clock_of(before=[2, 3], time=1), oldest=2) is ring
    assert not forget_others(ring, clock=clock_of(before=[2, 3], time=1), oldest=1)[0, :2].any()


def seen_by(clock: Clock, reach: Tensor, *, capacity: int, block: int) -> Tensor:
    """``[b, t, capacity + t]``: what a plan lets each token see, spread over the whole line."""
    lanes, time = clock.position.shape
    out = torch.zeros(lanes, time, capacity + time, dtype=torch.bool)
    sight = look_back(clock, reach, capacity=capacity, block=block)
    for part in sight.blocks:
        queries, keys = range(time)[part.queries], range(capacity + time)[sight.oldest :][part.keys]
        for q, t in enumerate(queries):
            for k, index in enumerate(keys):
                causal = index <= capacity + t
                out[:, t, index] = part.visible[:, q, k].expand(lanes) if part.visible is not None else causal
    return out


@pytest.mark.parametrize("block", [1, 2, 5, 128])
@pytest.mark.parametrize("ragged", [True, False])
@pytest.mark.parametrize("documents", [True, False])
def test_a_token_sees_itself_and_its_reach_within_its_document(block: int, ragged: bool, documents: bool) -> None:
    before, time, capacity = [0, 2, 30], 7, 6
    starts = None
    if documents:
        starts = torch.zeros(3, time, dtype=torch.bool)
        starts[0, 3] = starts[2, 0] = starts[2, 5] = True
    clock = clock_of(before=before, time=time, starts=starts, lengths=[0, 4, 7] if ragged else None)
    reach = clock.position % 3 + 3
    found = seen_by(clock, reach, capacity=capacity, block=block)
    for lane in range(3):
        for t in range(time):
            position = int(clock.position[lane, t])
            distances = range(min(position, int(reach[lane, t])) + 1)
            assert found[lane, t].nonzero().flatten().tolist() == sorted(capacity + t - d for d in distances)


def test_nothing_older_than_what_is_seen_is_planned_for() -> None:
    clock = clock_of(before=[2, 1], time=3)
    sight = look_back(clock, torch.full((2, 3), 9), capacity=9)
    assert sight.oldest == 7
    assert sight.blocks[0].keys == slice(0, 5, 1)


def test_a_block_whose_queries_see_all_needs_no_mask() -> None:
    clock = clock_of(before=[50, 60], time=3)
    (block,) = look_back(clock, torch.tensor([[4, 5, 6]] * 2), capacity=9).blocks
    assert block.visible is None
    (block,) = look_back(clock, torch.full((2, 3), 4), capacity=9).blocks
    assert block.visible is not None


@pytest.mark.parametrize("time", [1, 3])
@pytest.mark.parametrize("in_place", [True, False])
def test_rings_join_and_keep_the_same_with_and_without_gradients(time: int, in_place: bool) -> None:
    state, entries = torch.randn(2, 3, 4, 5), torch.randn(3, 2, time, 5)
    given = state.clone()
    clock = clock_of(before=[9, 9], time=time)
    lines, after = [], []
    for learns in (True, False):
        with torch.set_grad_enabled(learns):
            sight = look_back(clock, torch.full((2, time), 3), capacity=4)
            rings = Rings(state, sight=sight, clock=clock, in_place=in_place)
            lines.append(torch.stack([rings.join(rings.past(n), entries[n])[:, -4:].clone() for n in range(3)]))
            for n in range(3):
                rings.keep(entries[n])
            after.append(rings.after())
    assert torch.equal(lines[0], lines[1])
    assert torch.equal(after[0], after[1])
    assert torch.equal(after[0][:, 0], torch.cat([state[:, 0], entries[0]], dim=1)[:, -4:])
    assert torch.equal(state, given)
