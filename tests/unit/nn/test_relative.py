"""Transformer-XL's attention against its one-by-one twin, values and gradients."""

import pytest
import torch
from torch import Tensor

from everlong.clock import Clock, tick
from everlong.nn.relative import (
    attend_relative,
    attend_relative_counting,
    attend_relative_few,
    attend_relative_few_counting,
)
from everlong.nn.window import Sight, look_back
from tests.reference.attention import relative_attention_one_by_one

CAPACITY, TIME, HEADS, WIDTH = 6, 7, 2, 4


def make_clock(*, ragged: bool = False, time: int = TIME) -> Clock:
    starts = torch.zeros(3, time, dtype=torch.bool)
    starts[0, time // 2] = True
    lengths = torch.tensor([time, (time + 1) // 2, time]) if ragged else None
    return tick(torch.tensor([0, 2, 40]), time=time, starts=starts, lengths=lengths)


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def one_by_one(clock: Clock, reach: Tensor, tensors: dict[str, Tensor], distance: Tensor, lane: int) -> Tensor:
    first = CAPACITY + torch.arange(clock.time) - torch.minimum(reach, clock.position)
    return relative_attention_one_by_one(
        tensors["query"][lane],
        tensors["key"][lane],
        tensors["value"][lane],
        position_key=distance.flip(0),
        content_bias=tensors["u"],
        distance_bias=tensors["w"],
        first=first[lane].tolist(),
    )


def make_tensors(time: int = TIME) -> dict[str, Tensor]:
    line = CAPACITY + time
    return {
        "query": random(3, time, HEADS, WIDTH),
        "key": random(3, line, HEADS, WIDTH),
        "value": random(3, line, HEADS, WIDTH),
        "u": random(HEADS, WIDTH),
        "w": random(HEADS, WIDTH),
    }


def line(x: dict[str, Tensor], sight: Sight) -> Tensor:
    return torch.stack([x["key"], x["value"]], dim=2)[:, sight.oldest :]


def fast(x: dict[str, Tensor], distance: Tensor, sight: Sight) -> Tensor:
    return attend_relative(
        x["query"],
        line(x, sight),
        distance,
        content_bias=x["u"],
        distance_bias=x["w"],
        sight=sight,
    )


@pytest.mark.parametrize("ragged", [True, False])
@pytest.mark.parametrize("learns", [True, False])
@pytest.mark.parametrize("block", [1, 3, 128])
def test_attend_relative_is_its_twin(block: int, ragged: bool, learns: bool) -> None:
    clock = make_clock(ragged=ragged)
    reach = clock.position % 4 + 2
    sight = look_back(clock, reach, capacity=CAPACITY, block=block)
    x, distance = make_tensors(), random(CAPACITY + TIME, HEADS, WIDTH)
    with torch.set_grad_enabled(learns):
        found = fast(x, distance, sight)
    for lane in range(3):
        expected = one_by_one(clock, reach, x, distance, lane)
        torch.testing.assert_close(found[lane], expected, rtol=0, atol=1e-13)


def test_the_table_of_distances_may_be_longer_than_the_line() -> None:
    clock = make_clock()
    sight = look_back(clock, clock.position % 4 + 2, capacity=CAPACITY)
    x, distance = make_tensors(), random(40, HEADS, WIDTH)
    assert torch.equal(fast(x, distance, sight), fast(x, distance[-(CAPACITY + TIME - sight.oldest) :], sight))


@pytest.mark.parametrize("block", [3, 128])
@pytest.mark.parametrize("ragged", [True, False])
def test_gradients_of_everything(block: int, ragged: bool) -> None:
    clock = make_clock(ragged=ragged)
    sight = look_back(clock, clock.position % 4 + 2, capacity=CAPACITY, block=block)
    x = make_tensors()
    names = list(x)
    inputs = [*x.values(), random(CAPACITY + TIME, HEADS, WIDTH)]

    def run(*tensors: Tensor) -> Tensor:
        return fast(dict(zip(names, tensors[:-1], strict=True)), tensors[-1], sight)

    assert torch.autograd.gradcheck(run, [tensor.requires_grad_() for tensor in inputs], fast_mode=block < TIME)


def test_gradients_are_those_of_the_twin() -> None:
    clock = make_clock()
    reach = clock.position % 4 + 2
    sight = look_back(clock, reach, capacity=CAPACITY, block=3)
    x = {name: tensor.requires_grad_() for name, tensor in make_tensors().items()}
    distance = random(CAPACITY + TIME, HEADS, WIDTH).requires_grad_()
    mixture = random(3, TIME, HEADS, WIDTH)
    inputs = [*x.values(), distance]
    found = torch.autograd.grad((fast(x, distance, sight) * mixture).sum(), inputs)
    slow = torch.stack([one_by_one(clock, reach, x, distance, lane) for lane in range(3)])
    for ours, theirs in zip(found, torch.autograd.grad((slow * mixture).sum(), inputs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-13)


def test_gradients_under_dropout_are_those_of_the_weights_that_were_kept() -> None:
    clock = make_clock()
    sight = look_back(clock, clock.position % 4 + 2, capacity=CAPACITY, block=4)
    x = make_tensors()
    names = list(x)

    def run(*tensors: Tensor) -> Tensor:
        torch.manual_seed(5)
        x = dict(zip(names, tensors[:-1], strict=True))
        return attend_relative(
            x["query"],
            line(x, sight),
            tensors[-1],
            content_bias=x["u"],
            distance_bias=x["w"],
            sight=sight,
            dropout=0.4,
        )

    inputs = [tensor.requires_grad_() for tensor in (*x.values(), random(CAPACITY + TIME, HEADS, WIDTH))]
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)
    assert not torch.allclose(run(*inputs), fast(x, inputs[-1], sight))


@pytest.mark.parametrize("time", [1, 2, 5])
@pytest.mark.parametrize("ragged", [True, False])
def test_few_tokens_are_computed_the_other_way_round_to_the_same_end(time: int, ragged: bool) -> None:
    clock = make_clock(ragged=ragged, time=time)
    reach = clock.position % 4 + 2
    sight = look_back(clock, reach, capacity=CAPACITY)
    x, projection = make_tensors(time), random(HEADS * WIDTH, HEADS * WIDTH)
    encoding = random(CAPACITY + time, HEADS * WIDTH)
    found = attend_relative_few(
        x["query"],
        line(x, sight),
        encoding[sight.oldest :],
        projection,
        content_bias=x["u"],
        distance_bias=x["w"],
        sight=sight,
    )
    distance = (encoding @ projection.T).unflatten(1, (HEADS, WIDTH))
    torch.testing.assert_close(found, fast(x, distance, sight), rtol=0, atol=1e-12)


def test_what_no_one_sees_gets_no_gradient() -> None:
    clock = tick(torch.tensor([40]), time=3, starts=None, lengths=None)
    sight = look_back(clock, torch.tensor([[1, 1, 1]]), capacity=CAPACITY)
    x = {name: tensor[:1] if tensor.ndim == 4 else tensor for name, tensor in make_tensors(3).items()}
    key = x["key"].requires_grad_()
    fast(x, random(9, HEADS, WIDTH), sight).square().sum().backward()
    assert key.grad is not None
    assert not key.grad[0, : CAPACITY - 1].any()
    assert bool(key.grad[0, CAPACITY - 1 :].flatten(1).any(dim=1).all())


def test_half_precision_takes_its_softmax_in_float32() -> None:
    clock = tick(torch.tensor([40]), time=TIME, starts=None, lengths=None)
    sight = look_back(clock, torch.full((1, TIME), 5), capacity=CAPACITY)
    x = {name: tensor[:1] if tensor.ndim == 4 else tensor for name, tensor in make_tensors().items()}
    distance = random(CAPACITY + TIME, HEADS, WIDTH)
    expected = fast(x, distance, sight)
    half = fast({name: tensor.bfloat16() for name, tensor in x.items()}, distance.bfloat16(), sight)
    assert half.dtype == torch.bfloat16
    assert float((half.double() - expected).abs().max()) < 0.1


@pytest.mark.parametrize("block", [2, 128])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_counting_changes_nothing_and_counts_the_weights(block: int, dropout: float) -> None:
    """Each head gives a query a weight of one to deal out, and what a key got is what its value sends on."""
    clock, x = make_clock(), make_tensors()
    sight = look_back(clock, clock.position % 4 + 2, capacity=CAPACITY, block=block)
    length = CAPACITY + TIME - sight.oldest
    distance = random(length, HEADS, WIDTH)
    entries = line(x, sight).requires_grad_()
    biases = {"content_bias": x["u"], "distance_bias": x["w"]}
    torch.manual_seed(0)
    plain = attend_relative(x["query"], entries, distance, **biases, sight=sight, dropout=dropout)
    torch.manual_seed(0)
    out, received = attend_relative_counting(x["query"], entries, distance, **biases, sight=sight, dropout=dropout)
    assert torch.equal(out, plain)
    assert not received.requires_grad
    torch.testing.assert_close(received.sum(dim=1), torch.full((3,), float(HEADS * TIME), dtype=torch.float64))
    if dropout == 0.0:
        (sent,) = torch.autograd.grad(out.sum(), entries)
        torch.testing.assert_close(received, sent[:, :, 1].sum(dim=(2, 3)) / WIDTH)


@pytest.mark.parametrize("time", [1, 3])
def test_counting_a_few_is_counting_many(time: int) -> None:
    clock, x = make_clock(time=time), make_tensors(time)
    sight = look_back(clock, torch.full((3, time), 5), capacity=CAPACITY)
    length = CAPACITY + time - sight.oldest
    encoding, projection = random(length, HEADS * WIDTH), random(HEADS * WIDTH, HEADS * WIDTH)
    distance = (encoding @ projection.T).unflatten(-1, (HEADS, WIDTH))
    given = (x["query"], line(x, sight))
    biases = {"content_bias": x["u"], "distance_bias": x["w"]}
    many, of_many = attend_relative_counting(*given, distance, **biases, sight=sight)
    few, of_few = attend_relative_few_counting(*given, encoding, projection, **biases, sight=sight)
    torch.testing.assert_close(few, many, rtol=0, atol=1e-12)
    torch.testing.assert_close(of_few, of_many, rtol=0, atol=1e-12)
