"""Rotations, buckets and their order."""

import pytest
import torch

from everlong.nn.hashing import bucket_of, bucket_order, draw_rotations
from tests.reference.reformer import bucket_one_by_one


def rotations(*, n_hashes: int = 3, n_buckets: int = 6, seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return draw_rotations(rng, n_hashes=n_hashes, n_heads=2, width=4, n_buckets=n_buckets)


@pytest.mark.parametrize("n_buckets", [2, 6, 300])
def test_buckets_are_found_one_by_one(n_buckets: int) -> None:
    x, turns = torch.randn(2, 5, 2, 4), rotations(n_buckets=n_buckets)
    found = bucket_of(x, turns)
    assert found.dtype == torch.int16
    for b, h, r, t in torch.cartesian_prod(*map(torch.arange, (2, 2, 3, 5))).tolist():
        assert int(found[b, h, r, t]) == bucket_one_by_one(x[b, t, h], turns[r, h])


def test_only_the_direction_counts_and_opposites_are_half_of_all_buckets_apart() -> None:
    x, turns = torch.randn(2, 5, 2, 4), rotations()
    assert torch.equal(bucket_of(7 * x, turns), bucket_of(x, turns))
    assert torch.equal(bucket_of(-x, turns), (bucket_of(x, turns) + 3) % 6)


def test_near_vectors_meet_more_often_than_far_ones() -> None:
    x, turns = torch.randn(400, 1, 2, 4), rotations(n_hashes=8)
    buckets = bucket_of(x, turns)
    shares = [
        float((bucket_of(x + size * torch.randn_like(x), turns) == buckets).float().mean()) for size in (0.1, 0.5, 3.0)
    ]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.8
    assert shares[2] < 0.4


def test_the_first_rounds_are_the_same_however_many_there_are() -> None:
    assert torch.equal(rotations(n_hashes=5)[:2], rotations(n_hashes=2))
    assert not torch.equal(rotations(seed=1), rotations())
    assert rotations()[0].unique().numel() == rotations()[0].numel()


def test_order_is_by_bucket_and_then_by_time() -> None:
    buckets = torch.randint(4, (2, 3, 40), dtype=torch.int16)
    for row, order in zip(buckets.view(-1, 40).tolist(), bucket_order(buckets).view(-1, 40).tolist(), strict=True):
        assert order == sorted(range(40), key=lambda t, row=row: (row[t], t))


def test_half_precision_finds_nearly_the_same_buckets() -> None:
    x, turns = torch.randn(4, 100, 2, 4), rotations()
    found = bucket_of(x.bfloat16(), turns)
    assert found.dtype == torch.int16
    assert float((found == bucket_of(x, turns)).float().mean()) > 0.9
