"""Stretches of a line, and what is computed for those of like length together."""

import pytest
import torch

from everlong.clock import tick
from everlong.nn.sections import even_sections, in_sections
from everlong.nn.stretches import Stretches, by_bucket, take


def test_items_know_their_stretch() -> None:
    stretches = Stretches(torch.tensor([2, 0, 3]))
    assert stretches.first.tolist() == [0, 2, 2]
    assert stretches.number.tolist() == [0, 0, 2, 2, 2]


def test_no_bucket_has_a_stretch_twice_as_long_as_another() -> None:
    lengths = torch.tensor([1, 9, 2, 3, 0, 16, 8, 1, 15])
    seen: list[int] = []
    for bucket in Stretches(lengths).buckets:
        real = torch.ones_like(bucket.items) if bucket.real is None else bucket.real
        sizes = real.sum(dim=1).tolist()
        assert max(sizes) < 2 * min(sizes)
        seen += bucket.items[real.bool()].tolist()
    assert sorted(seen) == list(range(int(lengths.sum())))


def test_padding_repeats_the_last_item_and_backwards_the_first() -> None:
    (bucket,) = Stretches(torch.tensor([3, 2])).buckets
    assert bucket.items.tolist() == [[0, 1, 2], [3, 4, 4]]
    assert bucket.backwards.tolist() == [[2, 1, 0], [4, 3, 3]]
    assert bucket.real is not None
    assert bucket.real.tolist() == [[True, True, True], [True, True, False]]


@pytest.mark.parametrize("lengths", [[4, 4], [1, 7, 3], [0, 5, 0, 2], []])
def test_what_is_done_by_bucket_is_done_to_each_stretch(lengths: list[int]) -> None:
    stretches = Stretches(torch.tensor(lengths, dtype=torch.int64))
    line = torch.randn(sum(lengths), 3, dtype=torch.float64)

    def centred(rows: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
        weights = torch.ones(rows.shape[:2], dtype=rows.dtype) if real is None else real.to(rows.dtype)
        mean = (rows * weights[..., None]).sum(dim=1, keepdim=True) / weights.sum(dim=1)[:, None, None]
        return rows - mean

    expected = [part - part.mean(dim=0) for part in line.split(lengths)] if lengths else [line]
    torch.testing.assert_close(by_bucket(centred, line, stretches), torch.cat(expected))


def test_take() -> None:
    line = torch.arange(5.0)[:, None]
    assert take(line, torch.tensor([[4, 0], [1, 1]])).squeeze(-1).tolist() == [[4, 0], [1, 1]]


def test_a_layout_leaves_padding_out_and_puts_back() -> None:
    clock = tick(torch.zeros(3).long(), time=5, starts=None, lengths=torch.tensor([5, 0, 3]))
    layout = in_sections(even_sections(clock, 2), clock)
    assert layout.tokens.length.tolist() == [2, 2, 1, 2, 1]
    assert layout.sections.length.tolist() == [3, 0, 2]
    x = torch.arange(1, 16).view(3, 5)
    assert layout.drawn(x).tolist() == [1, 2, 3, 4, 5, 11, 12, 13]
    assert layout.put(layout.drawn(x)).tolist() == [[1, 2, 3, 4, 5], [0] * 5, [11, 12, 13, 0, 0]]
