"""Rows of documents: where tokens stand in them, what is kept of those that end, and where it goes."""

import pytest
import torch
from torch import Tensor

from everlong.clock import Clock, tick
from everlong.nn.rows import in_rows, or_zero, pick


def clock_of(*, before: list[int], time: int, lengths: list[int] | None = None, starts: Tensor | None = None) -> Clock:
    real = None if lengths is None else torch.tensor(lengths)
    return tick(torch.tensor(before), time=time, starts=starts, lengths=real)


def test_rows_and_columns_count_from_the_beginning_of_the_document() -> None:
    starts = torch.zeros(2, 7, dtype=torch.bool)
    starts[1, 4] = True
    rows = in_rows(clock_of(before=[0, 2], time=7, starts=starts), 3)
    assert rows.above.tolist() == [[0, 0, 0, 1, 1, 1, 2], [0, 1, 1, 1, 0, 0, 0]]
    assert rows.column.tolist() == [[0, 1, 2, 0, 1, 2, 0], [2, 0, 1, 2, 0, 1, 2]]
    assert rows.counts.tolist() == [2, 3]
    assert rows.ends.tolist() == [[2, 5, 6], [0, 3, 6]]
    assert rows.done.tolist() == [[0, 0, 0, 1, 1, 1, 2], [0, 1, 1, 1, 2, 2, 2]]


def test_padding_ends_no_row() -> None:
    rows = in_rows(clock_of(before=[2, 5], time=3, lengths=[0, 2]), 1)
    assert rows.counts.tolist() == [0, 2]
    assert rows.ends[1].tolist() == [0, 1]


@pytest.mark.parametrize("groups", [1, 2])
def test_finished_rows_bring_their_columns_head_by_head(groups: int) -> None:
    """Three tokens of the ring before a chunk of five, which begins at position 5 in lane 0 and 3 in lane 1."""
    rows = in_rows(clock_of(before=[5, 3], time=5), 4)
    line = torch.arange(2 * 8 * 4.0).view(2, 8, 4)
    columns = torch.tensor([[0, 2], [1, 3]])[:, :groups]
    found = rows.finished(line, columns)
    assert found.shape == (2, 4, 4)
    parts, expected = found.unflatten(-1, (groups, -1)), line.unflatten(-1, (groups, -1))
    # Rows end with position 7 in lane 0, and with 3 and 7 in lane 1, which are chunk indices 2, 0 and 4.
    for lane, begins in ((0, [2]), (1, [0, 4])):
        for n, begin in enumerate(begins):
            for w in range(2):
                for g in range(groups):
                    place = begin + int(columns[w, g])
                    assert torch.equal(parts[lane, 2 * n + w, g], expected[lane, place, g])


@pytest.mark.parametrize("before", [[5, 9], [5, 3]])
def test_rows_that_are_finished_whole_in_all_lanes_alike_are_not_copied(before: list[int]) -> None:
    """Rows end with chunk indices 2 and 6 in both lanes, or with 0 and 4 in lane 1."""
    rows = in_rows(clock_of(before=before, time=7), 4)
    line = torch.randn(2, 10, 6)
    found = rows.finished(line, torch.arange(4)[:, None])
    assert torch.equal(found[0], line[0, 2:10])
    assert torch.equal(found[1], line[1, 2:10] if before[1] == 9 else line[1, :8])
    assert (found.data_ptr() == line[:, 2:].data_ptr()) == (before[1] == 9)


def test_a_chunk_in_which_no_row_ends_leaves_the_shelf_as_it_is() -> None:
    rows, shelf = in_rows(clock_of(before=[4, 8], time=2), 4), torch.randn(2, 1, 3, 5)
    finished = rows.finished(torch.randn(2, 5, 6), torch.arange(4)[:, None])
    assert finished.shape == (2, 0, 6)
    assert rows.shelve(shelf, [finished]) is shelf


@pytest.mark.parametrize("before", [[3, 3], [3, 1]])
def test_each_lane_shelves_its_own_rows(before: list[int]) -> None:
    rows = in_rows(clock_of(before=before, time=2), 4)
    shelf, finished = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 2, 5)
    found = rows.shelve(shelf, finished.unbind(1))
    moved = torch.cat([shelf[:, :, 2:], finished], dim=2)
    assert torch.equal(found[0], moved[0])
    assert torch.equal(found[1], moved[1] if before[1] == 3 else shelf[1])


def test_of_more_rows_than_the_shelf_holds_the_last_stay() -> None:
    rows = in_rows(clock_of(before=[3, 3], time=9), 4)
    finished = torch.randn(2, 1, 6, 5)
    assert torch.equal(rows.shelve(torch.randn(2, 1, 4, 5), finished.unbind(1)), finished[:, :, 2:])


def test_pick_takes_each_lanes_own_slots() -> None:
    shelf, index = torch.randn(2, 3, 6, 4), torch.tensor([[5, 0], [2, 2]])
    found = pick(shelf, index)
    for lane in range(2):
        assert torch.equal(found[lane], shelf[lane][:, index[lane]])


def test_slots_that_were_never_filled_become_zero() -> None:
    past = torch.full((2, 1, 2, 3), torch.nan)
    past[0], past[1, :, 1] = 1.0, 2.0
    found = or_zero(past, torch.tensor([[True, True], [False, True]]))
    assert torch.equal(found[1, 0], torch.tensor([[0.0] * 3, [2.0] * 3]))
    assert or_zero(past, torch.ones(2, 2, dtype=torch.bool)) is past
