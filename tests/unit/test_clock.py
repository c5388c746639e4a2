"""Positions, lengths and documents of a chunk, against counting by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from everlong.clock import tick


def count(position: int, starts: list[bool], length: int) -> tuple[list[int], int, int]:
    """Positions of a lane's tokens, the position after it, and what it remembers of its first token's document."""
    positions = []
    before = 0 if length and starts[0] else position
    for t in range(len(starts)):
        if t >= length:
            positions.append(0)
            continue
        position = 0 if starts[t] else position
        positions.append(position)
        position += 1
    return positions, position, before


lanes = st.integers(1, 3)


@given(data=st.data(), time=st.integers(1, 6), n=lanes, ragged=st.booleans(), documents=st.booleans())
def test_tick_counts(data: st.DataObject, time: int, n: int, ragged: bool, documents: bool) -> None:
    position = data.draw(st.lists(st.integers(0, 99), min_size=n, max_size=n))
    flags = data.draw(st.lists(st.lists(st.booleans(), min_size=time, max_size=time), min_size=n, max_size=n))
    lengths = data.draw(st.lists(st.integers(0, time), min_size=n, max_size=n)) if ragged else [time] * n
    if not documents:
        flags = [[False] * time] * n
    clock = tick(
        torch.tensor(position),
        time=time,
        starts=torch.tensor(flags) if documents else None,
        lengths=torch.tensor(lengths) if ragged else None,
    )
    by_hand = [count(*lane) for lane in zip(position, flags, lengths, strict=True)]
    assert clock.position.tolist() == [lane[0] for lane in by_hand]
    assert clock.following.tolist() == [lane[1] for lane in by_hand]
    assert clock.before.tolist() == [lane[2] for lane in by_hand]
    assert clock.time == time
    real = [[t < length for t in range(time)] for length in lengths]
    assert (clock.valid is None) == all(map(all, real))
    assert clock.valid is None or clock.valid.tolist() == real
    begins = {t for lane, length in zip(flags, lengths, strict=True) for t in range(1, length) if lane[t]}
    assert clock.resets == tuple(sorted(begins))


def test_full_lengths_are_no_lengths() -> None:
    clock = tick(torch.tensor([3, 4]), time=2, starts=None, lengths=torch.tensor([2, 2]))
    assert clock.lengths is None
    assert clock.valid is None


def test_positions_stay_exact_after_ten_million_tokens() -> None:
    clock = tick(torch.tensor([10_000_000_000]), time=3, starts=None, lengths=None)
    assert clock.position.tolist() == [[10_000_000_000, 10_000_000_001, 10_000_000_002]]
    assert clock.following.dtype == torch.int64


@pytest.mark.parametrize("at", [0, 1])
def test_a_start_in_the_padding_is_none(at: int) -> None:
    starts = torch.zeros(1, 3, dtype=torch.bool)
    starts[0, at + 1] = True
    clock = tick(torch.tensor([7]), time=3, starts=starts, lengths=torch.tensor([at + 1]))
    assert clock.following.tolist() == [8 + at]
    assert clock.resets == ()
