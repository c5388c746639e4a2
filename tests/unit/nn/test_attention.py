"""Windowed attention against its one-by-one twin, values and gradients."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from everlong.clock import Clock, tick
from everlong.nn.attention import Look, attend, attend_jointly, attend_openly, scale
from everlong.nn.window import Block, Sight, look_back, together
from tests.reference.attention import masked_attention, windowed_attention_one_by_one
from tests.reference.longformer import jointly_masked_attention

CAPACITY, TIME = 6, 7


def make_clock(*, ragged: bool) -> Clock:
    starts = torch.zeros(3, TIME, dtype=torch.bool)
    starts[0, 3] = True
    lengths = torch.tensor([TIME, 4, TIME]) if ragged else None
    return tick(torch.tensor([0, 2, 40]), time=TIME, starts=starts, lengths=lengths)


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, 2, 4, dtype=torch.float64)


@pytest.mark.parametrize("ragged", [True, False])
@pytest.mark.parametrize("block", [1, 3, 128])
def test_attend_is_its_twin(block: int, ragged: bool) -> None:
    clock = make_clock(ragged=ragged)
    reach = clock.position % 4 + 2
    query, key, value = random(3, TIME), random(3, CAPACITY + TIME), random(3, CAPACITY + TIME)
    sight = look_back(clock, reach, capacity=CAPACITY, block=block)
    found = attend(query, key[:, sight.oldest :], value[:, sight.oldest :], sight=sight)
    first = CAPACITY + torch.arange(TIME) - torch.minimum(reach, clock.position)
    for lane in range(3):
        expected = windowed_attention_one_by_one(query[lane], key[lane], value[lane], first=first[lane].tolist())
        torch.testing.assert_close(found[lane], expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("block", [3, 128])
def test_gradients(block: int) -> None:
    clock = make_clock(ragged=False)
    sight = look_back(clock, clock.position % 4 + 2, capacity=CAPACITY, block=block)
    length = CAPACITY + TIME - sight.oldest
    inputs = tuple(x.requires_grad_() for x in (random(3, TIME), random(3, length), random(3, length)))
    assert torch.autograd.gradcheck(lambda q, k, v: attend(q, k, v, sight=sight), inputs, fast_mode=True)


def test_one_key_has_weight_one_and_equal_keys_are_averaged() -> None:
    sight = look_back(
        tick(torch.tensor([0]), time=1, starts=None, lengths=None), torch.zeros(1, 1, dtype=torch.int64), capacity=0
    )
    value = random(1, 1)
    assert torch.equal(attend(random(1, 1), random(1, 1), value, sight=sight), value)
    clock = tick(torch.tensor([0]), time=4, starts=None, lengths=None)
    sight = look_back(clock, clock.position, capacity=0)
    value = random(1, 4)
    found = attend(random(1, 4), random(1, 1).expand(1, 4, 2, 4), value, sight=sight)
    expected = value.cumsum(dim=1) / torch.arange(1, 5)[:, None, None]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


def test_dropout_drops_whole_weights_and_keeps_the_mean() -> None:
    clock = tick(torch.tensor([0]), time=1, starts=None, lengths=None)
    sight = look_back(clock, clock.position, capacity=0)
    value = torch.ones(1, 1, 2, 4, dtype=torch.float64)
    drawn = torch.stack([attend(random(1, 1), random(1, 1), value, sight=sight, dropout=0.5) for _ in range(400)])
    assert set(drawn.unique().tolist()) == {0.0, 2.0}
    assert 0.8 < float(drawn.mean()) < 1.2


def test_scale() -> None:
    assert scale(64) == 0.125


def halves(clock: Clock) -> Sight:
    """The near keys and every third of the farther ones, planned apart: two blocks for every query, one softmax."""
    near = look_back(clock, torch.ones_like(clock.position), capacity=CAPACITY, block=3)
    far = look_back(clock, torch.full_like(clock.position, CAPACITY), capacity=CAPACITY, block=2, dilation=3)
    return together(near, without_itself(far))


def without_itself(sight: Sight) -> Sight:
    """The plan less each query's own key; a query that sees nothing else is then empty there."""
    blocks = []
    for block in sight.blocks:
        queries, keys = (torch.arange(span.stop)[span] for span in (block.queries, block.keys))
        own = keys + sight.oldest == queries[:, None] + sight.capacity
        seen = torch.ones(1, *own.shape, dtype=torch.bool).tril(len(keys) - len(queries))
        blocks.append(replace(block, visible=(seen if block.visible is None else block.visible) & ~own))
    return replace(sight, blocks=tuple(blocks))


def visible(sight: Sight, *, lanes: int, heads: int) -> Tensor:
    """``[b, t, h, s]``: how many blocks show each key to each query."""
    seen = torch.zeros(lanes, TIME, heads, CAPACITY + TIME - sight.oldest, dtype=torch.int64)
    for block in sight.blocks:
        queries, keys = (range(span.stop)[span] for span in (block.queries, block.keys))
        shown = block.visible
        if shown is None:
            shown = torch.ones(1, len(queries), len(keys), dtype=torch.bool).tril(len(keys) - len(queries))
        for q, t in enumerate(queries):
            for k, index in enumerate(keys):
                seen[:, t, block.heads or slice(None), index] += shown[:, q, k, None]
    return seen


def plans(clock: Clock) -> dict[str, Sight]:
    reach = torch.full_like(clock.position, 5)
    return {
        "a dilated band": look_back(clock, reach, capacity=CAPACITY, block=2, dilation=2),
        "heads that look differently": together(
            look_back(clock, reach, capacity=CAPACITY, block=3, heads=slice(0, 1)),
            look_back(clock, reach, capacity=CAPACITY, dilation=3, heads=slice(1, 2)),
        ),
        "two blocks, one softmax": halves(clock),
    }


@pytest.mark.parametrize("ragged", [True, False])
@pytest.mark.parametrize("openly", [True, False])
@pytest.mark.parametrize("plan", ["a dilated band", "heads that look differently", "two blocks, one softmax"])
def test_any_plan_is_one_masked_softmax(plan: str, openly: bool, ragged: bool) -> None:
    """Forward and backward, through the fused kernel and openly."""
    sight = plans(make_clock(ragged=ragged))[plan]
    seen = visible(sight, lanes=3, heads=2)
    assert int(seen.max()) == 1
    length = CAPACITY + TIME - sight.oldest
    given = [random(3, TIME), random(3, length), random(3, length)]
    grad = random(3, TIME)
    found, expected = ([x.clone().requires_grad_() for x in given] for _ in range(2))
    query, key, value = found
    look = Look(query=query, key=key, value=value, sight=sight)
    ours = attend_openly([look], dropout=0.0) if openly else attend(query, key, value, sight=sight)
    twin = masked_attention(*expected, visible=seen.bool())
    torch.testing.assert_close(ours, twin, rtol=0, atol=1e-13)
    ours.backward(grad)
    twin.backward(grad)
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x.grad, y.grad, rtol=0, atol=1e-13)


@pytest.mark.parametrize("openly", [True, False])
def test_lines_that_are_asked_otherwise_share_a_softmax(openly: bool) -> None:
    """A band, and three keys elsewhere that the first two tokens do not see; forward and backward."""
    band = look_back(make_clock(ragged=False), torch.full((3, TIME), 4), capacity=CAPACITY, block=3)
    shown = torch.rand(3, TIME - 2, 3) < 0.5
    aside = Sight(capacity=0, oldest=0, blocks=(Block(queries=slice(2, TIME), keys=slice(0, 3), visible=shown),))
    length = CAPACITY + TIME - band.oldest
    seen = [visible(band, lanes=3, heads=2).bool(), torch.zeros(3, TIME, 2, 3, dtype=torch.bool)]
    seen[1][:, 2:] = shown[:, :, None]
    given = [random(3, TIME), random(3, length), random(3, length), random(3, TIME), random(3, 3), random(3, 3)]
    found, expected = ([x.clone().requires_grad_() for x in given] for _ in range(2))
    looks = [
        Look(query=found[0], key=found[1], value=found[2], sight=band),
        Look(query=found[3], key=found[4], value=found[5], sight=aside),
    ]
    ours = attend_openly(looks, dropout=0.0) if openly else attend_jointly(looks)
    twin = jointly_masked_attention([(*expected[:3], seen[0]), (*expected[3:], seen[1])])
    torch.testing.assert_close(ours, twin, rtol=0, atol=1e-13)
    grad = random(3, TIME)
    ours.backward(grad)
    twin.backward(grad)
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x.grad, y.grad, rtol=0, atol=1e-13)


def test_a_plan_moved_is_for_a_line_with_more_in_front() -> None:
    clock = make_clock(ragged=False)
    sight = look_back(clock, torch.full_like(clock.position, 4), capacity=CAPACITY, block=3)
    length = CAPACITY + TIME - sight.oldest
    query, key, value, extra = (
        random(3, TIME),
        random(3, length),
        random(3, length),
        torch.full((3, 2, 2, 4), torch.nan),
    )
    longer = (torch.cat([extra.double(), x], dim=1) for x in (key, value))
    assert torch.equal(attend(query, *longer, sight=sight.moved(2)), attend(query, key, value, sight=sight))


def test_blocks_and_lanes_that_look_alike_share_a_mask() -> None:
    clock = tick(torch.tensor([50, 90]), time=40, starts=None, lengths=None)
    masks = [block.visible for block in look_back(clock, torch.full((2, 40), 5), capacity=6, block=8).blocks]
    assert len({id(mask) for mask in masks}) == 1
    assert masks[0] is not None
    assert masks[0].stride(0) == 0
