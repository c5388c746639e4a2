"""Usage and allocation: bounds, sums, what is given out next, ties, and derivatives."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from everlong.nn.allocation import (
    AllocationFactors,
    UseFactors,
    allocate,
    allocate_back,
    kept_by_each,
    least_used,
    least_used_first,
    product_of_others,
    use,
)
from everlong.nn.content import EPSILON


def rand(*shape: int) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64)


def share(usage: Tensor) -> Tensor:
    return allocate(usage, least_used_first(usage)).shares


def share_back(usage: Tensor, d_shares: Tensor) -> Tensor:
    order, d_usage = least_used_first(usage), torch.zeros_like(usage)
    _, *parts = allocate(usage, order)
    allocate_back(AllocationFactors.of(order, *parts), d_shares, d_usage)
    return d_usage


usages = st.lists(st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1)), min_size=1, max_size=9)


@given(usages)
def test_allocation_sums_to_what_is_free(values: list[float]) -> None:
    """``sum a = 1 - prod u``, up to the least usage that is lifted to `EPSILON`."""
    usage = torch.tensor([values], dtype=torch.float64)
    lifted = EPSILON + (1 - EPSILON) * usage
    torch.testing.assert_close(share(usage).sum(dim=1), 1 - lifted.prod(dim=1), rtol=0, atol=1e-14)
    torch.testing.assert_close(share(usage).sum(dim=1), 1 - usage.prod(dim=1), rtol=0, atol=1e-5)
    assert float(share(usage).min()) >= -1e-15


def test_a_free_slot_is_next_and_among_free_ones_the_first() -> None:
    usage = torch.tensor([[0.9, 0.7, 0.0, 0.8], [0.5, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(share(usage).argmax(dim=1), torch.tensor([2, 1, 0]))
    torch.testing.assert_close(share(usage).amax(dim=1), torch.ones(3), rtol=0, atol=1e-5)


def test_a_full_memory_gives_nothing() -> None:
    assert torch.equal(share(torch.ones(2, 5)), torch.zeros(2, 5))


def test_rounding_decides_no_order() -> None:
    usage = torch.full((1, 6), 0.25)
    noisy = usage + torch.tensor([3, 2, 1, 0, -1, -2]) * 1e-8
    assert least_used_first(noisy).tolist() == [[0, 1, 2, 3, 4, 5]]
    assert least_used_first(usage + torch.arange(6.0).flip(0) * 1e-3).tolist() == [[5, 4, 3, 2, 1, 0]]


@given(usages, st.integers(1, 9))
def test_exactly_so_many_slots_are_least_used(values: list[float], count: int) -> None:
    usage, count = torch.tensor([values]), min(count, len(values))
    chosen = least_used(usage, count)
    assert chosen.sum() == count
    assert set(chosen.unique().tolist()) <= {0.0, 1.0}
    if count < len(values):
        assert float(usage[chosen == 1].max()) <= float(usage[chosen == 0].min()) + 2**-15


@pytest.mark.parametrize("count", [1, 2, 4])
def test_ties_go_to_the_first(count: int) -> None:
    assert least_used(torch.zeros(1, 4), count).tolist() == [[1.0] * count + [0.0] * (4 - count)]


def test_usage_stays_between_nothing_and_all() -> None:
    usage = rand(2, 7)
    for _ in range(200):
        retention = kept_by_each(rand(2, 3, 7).softmax(dim=-1), rand(2, 3)).prod(dim=1)
        usage = use(usage, rand(2, 7).softmax(dim=-1), retention)
        assert float(usage.min()) >= 0
        assert float(usage.max()) <= 1


def test_a_slot_set_free_is_the_next_to_be_allocated() -> None:
    usage, reading = torch.tensor([[0.9, 0.9, 0.9]]), torch.tensor([[[0.0, 1.0, 0.0]]])
    after = use(usage, torch.zeros(1, 3), kept_by_each(reading, torch.ones(1, 1)).prod(dim=1))
    assert after.tolist() == [[pytest.approx(0.9), 0.0, pytest.approx(0.9)]]
    torch.testing.assert_close(share(after), torch.tensor([[0.0, 1.0, 0.0]]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_the_product_of_others_needs_no_division(heads: int) -> None:
    kept = rand(2, heads, 5)
    kept[0, 0, 0] = 0
    kept.requires_grad_()
    (expected,) = torch.autograd.grad(kept.prod(dim=1).sum(), [kept])
    torch.testing.assert_close(product_of_others(kept.detach()), expected, rtol=0, atol=1e-15)


def test_derivatives_are_those_of_autograd() -> None:
    usage, written, retention = (x.requires_grad_() for x in (rand(2, 6), rand(2, 6), rand(2, 6)))
    used = use(usage, written, retention)
    d_shares = torch.randn(2, 6, dtype=torch.float64)
    expected = torch.autograd.grad(share(used), [usage, written, retention], d_shares)
    with torch.no_grad():
        d_used = share_back(used, d_shares)
        ours = [d_used * factor for factor in UseFactors.of(usage, written, retention)]
    for mine, theirs in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


def test_the_gradient_of_a_share_is_added_to_what_there_is() -> None:
    usage, d_shares, d_usage = rand(2, 6), rand(2, 6), rand(2, 6)
    order, before = least_used_first(usage), d_usage.clone()
    allocate_back(AllocationFactors.of(order, *allocate(usage, order)[1:]), d_shares, d_usage)
    torch.testing.assert_close(d_usage - before, share_back(usage, d_shares))


@pytest.mark.parametrize("fill", [0.0, 0.3, 1.0])
def test_the_derivative_in_float32_is_finite_and_that_of_float64(fill: float) -> None:
    """An empty memory, in which the product of a few usages is nothing that float32 holds; a full one."""
    usage, d_shares = torch.full((1, 128), fill, dtype=torch.float64), torch.randn(1, 128, dtype=torch.float64)
    (expected,) = torch.autograd.grad(share(usage.requires_grad_()), [usage], d_shares)
    torch.testing.assert_close(share_back(usage.detach(), d_shares), expected, rtol=1e-9, atol=1e-9)
    single = share_back(usage.detach().float(), d_shares.float())
    torch.testing.assert_close(single.double(), expected, rtol=1e-4, atol=1e-4)
