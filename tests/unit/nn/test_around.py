"""Bands to both sides, and tokens that are drawn together."""

import pytest
import torch
from torch import Tensor

from everlong.clock import Clock, tick
from everlong.nn.around import GlobalTokens, look_around
from everlong.nn.pins import ROWS
from everlong.nn.window import Sight

TIME = 11


def make_clock(lengths: list[int] | None, *, time: int = TIME) -> Clock:
    real = None if lengths is None else torch.tensor(lengths)
    lanes = 2 if lengths is None else len(lengths)
    return tick(torch.zeros(lanes, dtype=torch.int64), time=time, starts=None, lengths=real)


def visible(sight: Sight, *, lanes: int, keys: int = TIME) -> Tensor:
    """``[b, t, s]``: how many blocks show each key to each query."""
    seen = torch.zeros(lanes, TIME, keys, dtype=torch.int64)
    for block in sight.blocks:
        assert block.visible is not None
        queries, places = torch.arange(TIME)[block.queries], torch.arange(keys)[block.keys]
        assert block.visible.shape == (lanes, len(queries), len(places))
        seen[:, queries[:, None], places] += block.visible
    return seen


@pytest.mark.parametrize("lengths", [None, [TIME, 7, 1, 0]])
@pytest.mark.parametrize("absent", [(), (0,), (2, 3, 10)])
@pytest.mark.parametrize("block", [1, 3, 64])
@pytest.mark.parametrize(("side", "dilation"), [(0, 1), (2, 1), (2, 3), (1, 20), (30, 1)])
def test_a_token_sees_as_far_to_one_side_as_to_the_other(
    side: int, dilation: int, block: int, absent: tuple[int, ...], lengths: list[int] | None
) -> None:
    clock = make_clock(lengths)
    lanes = len(clock.position)
    gone = torch.zeros(lanes, TIME, dtype=torch.bool)
    gone[1:, list(absent)] = True
    seen = visible(look_around(clock, side=side, block=block, dilation=dilation, absent=gone), lanes=lanes)
    for lane in range(lanes):
        length = TIME if lengths is None else lengths[lane]
        for t in range(TIME):
            band = {t + i * dilation for i in range(-side, side + 1)}
            expected = {k for k in band if 0 <= k < length and not gone[lane, k]} | {t}
            assert seen[lane, t].nonzero().flatten().tolist() == sorted(expected)
    assert int(seen.max()) == 1


def test_blocks_and_lanes_that_look_alike_share_a_mask() -> None:
    absent = torch.zeros(2, 400, dtype=torch.bool)
    absent[:, 0] = True
    sight = look_around(make_clock(None, time=400), side=8, block=16, absent=absent)
    assert len({id(block.visible) for block in sight.blocks[1:-1]}) == 1
    assert all(block.visible is not None and block.visible.stride(0) == 0 for block in sight.blocks)


def test_only_blocks_whose_keys_are_in_reach_are_scored() -> None:
    sight = look_around(make_clock(None, time=4096), side=128, block=64)
    assert max(len(range(4096)[block.keys]) for block in sight.blocks) == 64 + 2 * 128
    assert len(sight.blocks) == 64


def test_heads_that_look_this_way() -> None:
    blocks = look_around(make_clock(None), side=1, block=4, heads=slice(1, 3)).blocks
    assert all(block.heads == slice(1, 3) for block in blocks)


@pytest.fixture
def those() -> GlobalTokens:
    mask = torch.zeros(3, TIME, dtype=torch.bool)
    mask[0, [9, 2, 5]] = mask[1, 0] = True
    return GlobalTokens(mask)


def test_global_tokens_are_drawn_in_order_and_put_back(those: GlobalTokens) -> None:
    x = torch.randn(3, TIME, 2, 4)
    drawn = those.drawn(x)
    assert drawn.shape == (3, 3, 2, 4)
    assert torch.equal(drawn[0], x[0, [2, 5, 9]])
    assert torch.equal(drawn[1, 0], x[1, 0])
    after = those.put(x, drawn + 1)
    moved = (after != x).all(dim=-1).all(dim=-1)
    assert torch.equal(moved, those.mask)
    torch.testing.assert_close(after[those.mask], x[those.mask] + 1)


def test_every_token_sees_the_global_tokens_of_its_lane_and_no_empty_place(those: GlobalTokens) -> None:
    seen = visible(those.sight, lanes=3, keys=3)
    assert bool((seen == torch.tensor([[1, 1, 1], [1, 0, 0], [0, 0, 0]])[:, None]).all())


def test_long_texts_look_at_global_tokens_in_pieces() -> None:
    mask = torch.zeros(2, 2 * ROWS + 3, dtype=torch.bool)
    mask[:, 4] = True
    blocks = GlobalTokens(mask).sight.blocks
    assert [block.queries for block in blocks] == [
        slice(0, ROWS),
        slice(ROWS, 2 * ROWS),
        slice(2 * ROWS, 2 * ROWS + 3),
    ]
    assert all(block.visible is not None and bool(block.visible.all()) for block in blocks)
