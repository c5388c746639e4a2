"""Texts behind one another: where their tokens stand, and that nothing between texts is seen."""

import pytest
import torch

from everlong.clock import Clock, tick
from everlong.nn.bidirectional import attend_both_sides
from everlong.nn.packing import Packing, packing


def clock(lengths: list[int], *, time: int = 8) -> Clock:
    begins = torch.zeros(len(lengths), dtype=torch.int64)
    return tick(begins, time=time, starts=None, lengths=torch.tensor(lengths))


def packed(lengths: list[int]) -> Packing:
    found = packing(clock(lengths))
    assert found is not None
    return found


def test_tokens_stand_behind_one_another_and_come_back() -> None:
    there = packed([3, 0, 5])
    assert there.lengths == [3, 5]
    assert there.position.tolist() == [0, 1, 2, 0, 1, 2, 3, 4]
    x = torch.randn(3, 8, 2, requires_grad=True)
    line = there.pack(x)
    assert torch.equal(line[0], torch.cat([x[0, :3], x[2, :5]]))
    back = there.unpack(line)
    assert torch.equal(back[0, :3], x[0, :3])
    assert not back[1].any()
    assert not back[2, 5:].any()
    (gradient,) = torch.autograd.grad(back.sum(), x)
    assert torch.equal(gradient.bool()[..., 0], there.valid)


@pytest.mark.parametrize("lengths", [[8, 8], [8, 7], [0, 0]])
def test_texts_stay_side_by_side_where_there_is_little_padding_or_nothing_else(lengths: list[int]) -> None:
    assert packing(clock(lengths)) is None


def test_an_eighth_of_padding_is_worth_it() -> None:
    assert packing(clock([8, 6])) is not None


def test_attention_stays_within_a_text() -> None:
    there = packed([3, 0, 5, 1])
    side_by_side = [torch.randn(4, 8, 2, 4, dtype=torch.float64) for _ in range(3)]
    line = attend_both_sides(*map(there.pack, side_by_side), valid=there)
    masked = attend_both_sides(*side_by_side, valid=there.valid)
    torch.testing.assert_close(line, there.pack(masked), rtol=0, atol=1e-13)
