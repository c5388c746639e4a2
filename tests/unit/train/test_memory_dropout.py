import pytest
import torch

from everlong.memory import Memory
from everlong.train.distribution import World
from everlong.train.memory_dropout import MemoryDropout, other_lanes
from tests.unit.train.conftest import tiny

LANES = 400
ALONE = World()
MODEL = tiny("gru", d_model=1)


def memory(lanes: int = LANES) -> Memory:
    return MODEL.init_memory(lanes).map(
        lambda leaf: leaf + torch.arange(1, lanes + 1).reshape(-1, *[1] * (leaf.ndim - 1))
    )


def dropout(rate: float, *, lanes: int = LANES, world: World = ALONE) -> MemoryDropout:
    return MemoryDropout(rate=rate, lanes=lanes, seed=1, world=world)


def test_without_dropout_a_memory_is_itself_and_nothing_is_drawn() -> None:
    drop, before = dropout(0.0), memory()
    state = drop.generator.get_state()
    assert drop(before) is before
    assert torch.equal(drop.generator.get_state(), state)


def test_half_the_chosen_lanes_are_empty_and_half_are_another_lane() -> None:
    found = dropout(0.5)(memory()).position
    own = torch.arange(1, LANES + 1)
    assert int((found == 0).sum()) == pytest.approx(LANES / 4, rel=0.25)
    assert int(((found != own) & (found != 0)).sum()) == pytest.approx(LANES / 4, rel=0.25)


def test_all_leaves_of_a_lane_go_together() -> None:
    found = dropout(1.0)(memory()).flatten()
    assert torch.equal(found["hidden"][:, 0, 0], found["position"].float())


def test_a_lone_lane_has_no_other_and_becomes_empty() -> None:
    assert dropout(1.0, lanes=1)(memory(1)).position.tolist() == [0]


def test_a_donor_is_always_another_lane_and_may_be_any() -> None:
    assert not (other_lanes(torch.rand(200, dtype=torch.float64)) == torch.arange(200)).any()
    reached = {int(other_lanes(torch.full((4,), c, dtype=torch.float64))[0]) for c in (0.0, 0.34, 0.67, 0.999999)}
    assert reached == {1, 2, 3}


def test_ranks_empty_the_lanes_that_one_rank_would() -> None:
    alone = dropout(0.6)(memory()).position == 0
    halves: list[torch.Tensor] = []
    for rank in range(2):
        part = memory(LANES // 2)
        halves.append(dropout(0.6, world=World(rank, 2))(part).position == 0)
    assert torch.equal(torch.cat(halves), alone)


def test_swapped_lanes_are_another_lane_and_none_is_empty() -> None:
    found = MemoryDropout(rate=0.0, swap=0.5, lanes=LANES, seed=1, world=ALONE)(memory()).position
    assert int((found == 0).sum()) == 0
    assert int((found != torch.arange(1, LANES + 1)).sum()) == pytest.approx(LANES / 2, rel=0.25)


def test_swaps_come_besides_what_is_dropped() -> None:
    alone = dropout(0.4)(memory()).position
    both = MemoryDropout(rate=0.4, swap=0.6, lanes=LANES, seed=1, world=ALONE)(memory()).position
    own = torch.arange(1, LANES + 1)
    assert torch.equal(both[alone != own], alone[alone != own])
    assert bool((both != own).all())
