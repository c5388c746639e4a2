"""Columns and summaries as blocks: who sees what, and that columns side by side are one softmax each."""

import pytest
import torch
from torch import Tensor

from everlong.clock import Clock, tick
from everlong.nn import strides
from everlong.nn.attention import Look, attend_jointly, attend_openly
from everlong.nn.rows import in_rows
from everlong.nn.strides import COLUMN_QUERIES, Masks, look_above, look_up, moved, only_columns
from everlong.nn.window import Block, Sight, look_back
from tests.reference.attention import masked_attention

STRIDE, ROWS = 3, 4


def clock_of(time: int, *, before: list[int], documents: bool) -> Clock:
    starts = torch.zeros(len(before), time, dtype=torch.bool)
    if documents:
        starts[0, time // 2] = starts[-1, 0] = True
    return tick(torch.tensor(before), time=time, starts=starts, lengths=None)


def spread(blocks: list[Block], *, lanes: int, time: int, length: int, heads: int = 1) -> Tensor:
    """``[b, t, h, s]``: how many blocks show each key to each query."""
    seen = torch.zeros(lanes, time, heads, length, dtype=torch.int64)
    for block in blocks:
        queries, keys = (range(span.stop)[span] for span in (block.queries, block.keys))
        assert block.visible is not None
        for phase in range(block.phases):
            mask = block.visible[phase] if block.lane is not None else block.visible
            for q, t in enumerate(queries):
                for k, index in enumerate(keys):
                    whose = slice(None) if block.lane is None else block.lane
                    seen[whose, t + phase, block.heads or slice(None), index + phase] += mask[..., q, k, None]
    return seen


def columns(clock: Clock, *, nearest: int, farthest: int) -> Tensor:
    """``[b, t, 1, s]``: what a token sees of its column, on the line of `ROWS` rows before the chunk, and the chunk."""
    lanes, time = clock.position.shape
    seen = torch.zeros(lanes, time, 1, ROWS * STRIDE + time, dtype=torch.bool)
    for lane in range(lanes):
        for t in range(time):
            for up in range(nearest, min(farthest, int(clock.position[lane, t]) // STRIDE) + 1):
                seen[lane, t, 0, ROWS * STRIDE + t - up * STRIDE] = True
    return seen


@pytest.mark.parametrize("documents", [True, False])
@pytest.mark.parametrize("nearest", [0, 1, 2])
@pytest.mark.parametrize("time", [3, 4, 11, COLUMN_QUERIES * STRIDE + 7])
def test_a_token_sees_its_column_up_to_the_farthest_row(time: int, nearest: int, documents: bool) -> None:
    clock = clock_of(time, before=[50, 4, 7], documents=documents)
    blocks = look_up(
        clock, stride=STRIDE, nearest=nearest, farthest=ROWS, row=ROWS, rows=range(ROWS + time), width=STRIDE
    )
    found = spread(blocks, lanes=3, time=time, length=ROWS * STRIDE + time)
    assert torch.equal(found, columns(clock, nearest=nearest, farthest=ROWS).long())


@pytest.mark.parametrize("time", [3, 4, 11])
def test_what_is_on_another_line_is_not_seen(time: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two lines that meet in the middle of what is seen, and columns that are not all computed together."""
    monkeypatch.setattr(strides, "SIDES", 2)
    clock = clock_of(time, before=[50, 4, 7], documents=True)
    parts = []
    for rows in (range(2), range(2, ROWS + time)):
        blocks = look_up(clock, stride=STRIDE, nearest=0, farthest=ROWS, row=ROWS, rows=rows, width=STRIDE)
        length = 2 * STRIDE if rows.start == 0 else (ROWS - 2) * STRIDE + time
        parts.append(spread(blocks, lanes=3, time=time, length=length))
    assert torch.equal(torch.cat(parts, dim=-1), columns(clock, nearest=0, farthest=ROWS).long())


@pytest.mark.parametrize("time", [1, 2])
def test_a_chunk_shorter_than_a_row_meets_few_columns(time: int) -> None:
    """The line has as many columns as the chunk has tokens; row by row, tokens see `STRIDE` tokens farther back."""
    clock = clock_of(time, before=[50, 4, 7], documents=False)
    blocks = look_up(clock, stride=STRIDE, nearest=1, farthest=ROWS, row=ROWS, rows=range(ROWS), width=time)
    found = spread(blocks, lanes=3, time=time, length=ROWS * time)
    for lane in range(3):
        for t in range(time):
            rows = range(1, min(ROWS, int(clock.position[lane, t]) // STRIDE) + 1)
            assert found[lane, t, 0].nonzero().flatten().tolist() == sorted((ROWS - up) * time + t for up in rows)


def test_nothing_is_planned_for_who_sees_nothing() -> None:
    clock = clock_of(2, before=[0, 0], documents=False)
    assert look_up(clock, stride=3, nearest=1, farthest=4, row=4, rows=range(4), width=2) == []
    assert look_above(in_rows(clock, 3), farthest=4, width=2) == []


@pytest.mark.parametrize("documents", [True, False])
@pytest.mark.parametrize("time", [1, 3, 17, 150])
def test_a_token_sees_what_is_kept_of_the_rows_above(time: int, documents: bool) -> None:
    clock = clock_of(time, before=[50, 4, 7], documents=documents)
    rows, width = in_rows(clock, STRIDE), 2
    length = (ROWS + rows.ends.shape[1]) * width
    found = spread(look_above(rows, farthest=ROWS, width=width), lanes=3, time=time, length=length)
    for lane in range(3):
        for t in range(time):
            last = ROWS + sum(int(end) < t for end in rows.ends[lane][: rows.counts[lane]])
            first = last - min(ROWS, int(clock.position[lane, t]) // STRIDE)
            assert found[lane, t, 0].nonzero().flatten().tolist() == list(range(first * width, last * width))


@pytest.mark.parametrize("time", [1, 6, 70])
def test_of_its_own_row_a_token_sees_some_columns_and_itself(time: int) -> None:
    clock = clock_of(time, before=[9, 4, 0], documents=True)
    rows, stride = in_rows(clock, 5), 5
    rows = in_rows(clock, stride)
    near = look_back(clock, rows.column, capacity=stride, block=64)
    blocks = moved(only_columns(near, rows, range(1, 3), heads=slice(0, 1)), near.oldest)
    found = spread(blocks, lanes=3, time=time, length=stride + time, heads=2)
    assert not found[:, :, 1].any()
    for lane in range(3):
        for t in range(time):
            column = int(rows.column[lane, t])
            seen = {column} | ({1, 2} & set(range(column)))
            assert found[lane, t, 0].nonzero().flatten().tolist() == sorted(stride + t - column + c for c in seen)


@pytest.mark.parametrize("openly", [True, False])
def test_columns_side_by_side_are_a_softmax_each(openly: bool) -> None:
    """Forward and backward; ring and column, asked of two lines, share it."""
    time, length = 13, ROWS * STRIDE + 13
    clock = clock_of(time, before=[50, 4, 7], documents=True)
    column = look_up(clock, stride=STRIDE, nearest=1, farthest=ROWS, row=ROWS, rows=range(ROWS + time), width=STRIDE)
    far = Sight(capacity=0, oldest=0, blocks=tuple(column))
    near = look_back(clock, torch.full_like(clock.position, STRIDE - 1), capacity=STRIDE, block=5)
    given = [torch.randn(3, n, 2, 4, dtype=torch.float64) for n in (time, length, length)]
    found, expected = ([x.clone().requires_grad_() for x in given] for _ in range(2))
    recent = slice((ROWS - 1) * STRIDE + near.oldest, None)
    looks = [
        Look(query=found[0], key=found[1][:, recent], value=found[2][:, recent], sight=near),
        Look(query=found[0], key=found[1], value=found[2], sight=far),
    ]
    ours = attend_openly(looks, dropout=0.0) if openly else attend_jointly(looks)
    seen = columns(clock, nearest=0, farthest=ROWS)
    for lane in range(3):
        for t in range(time):
            back = min(STRIDE - 1, int(clock.position[lane, t]))
            seen[lane, t, 0, ROWS * STRIDE + t - back : ROWS * STRIDE + t + 1] = True
    twin = masked_attention(*expected, visible=seen.expand(-1, -1, 2, -1))
    torch.testing.assert_close(ours, twin, rtol=0, atol=1e-13)
    mixture = torch.randn_like(twin)
    ours.backward(mixture)
    twin.backward(mixture)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=1e-13)


def test_masks_that_look_alike_are_one() -> None:
    masks = Masks(torch.device("cpu"))
    first = masks.shared(torch.ones(4, 2, 3, dtype=torch.bool).tril())
    assert masks.shared(torch.ones(4, 2, 3, dtype=torch.bool).tril()) is first
    assert masks.shared(torch.ones(4, 2, 3, dtype=torch.bool)) is not first
    assert first.stride(0) == 0
    assert masks.shared(torch.eye(2, dtype=torch.bool)[:, None]).stride(0) != 0
