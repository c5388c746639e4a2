"""Windowed attention against its one-by-one twin, values and gradients."""

import pytest
import torch
from torch import Tensor

from everlong.clock import Clock, tick
from everlong.nn.attention import attend, scale
from everlong.nn.window import look_back
from tests.reference.attention import windowed_attention_one_by_one

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
