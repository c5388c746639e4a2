"""Segments, blocks and runs against what their definition says, token by token."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from everlong.clock import tick
from everlong.nn.segments import Grid, between, in_order, join, new_blocks, runs_of, split

SIZES = st.builds(
    Grid,
    segment=st.integers(1, 6),
    mem_len=st.integers(0, 9),
    cmem_len=st.integers(1, 4),
    rate=st.integers(1, 5),
    at_once=st.just(False),
)
AT_ONCE = st.builds(
    lambda rate, per_segment, segments, cmem_len: Grid(
        segment=rate * per_segment,
        mem_len=rate * per_segment * segments,
        cmem_len=cmem_len,
        rate=rate,
        at_once=True,
    ),
    rate=st.integers(1, 3),
    per_segment=st.integers(1, 2),
    segments=st.integers(1, 2),
    cmem_len=st.integers(1, 4),
)


def seen_by(grid: Grid, position: int) -> tuple[list[int], list[int]]:
    """Blocks and positions that a token sees, by the words of the definition."""
    began = max(s for s in range(0, position + 1, grid.segment))
    wanted = max(0, began - grid.mem_len)
    edge = max(block * grid.rate for block in range(position + 1) if block * grid.rate <= wanted)
    blocks = [block for block in range(position + 1) if (block + 1) * grid.rate <= edge]
    return blocks[-grid.cmem_len :], list(range(edge, position + 1))


@given(grid=SIZES)
def test_rings_hold_what_is_seen_and_no_more(grid: Grid) -> None:
    """Over all positions, the first ones and a whole period of segments against blocks included."""
    views = {p: seen_by(grid, p) for p in range(120)}
    assert max(len(recent) for _, recent in views.values()) == grid.recent
    waiting = max(p // grid.rate - (recent[0] // grid.rate) for p, (_, recent) in views.items())
    assert grid.slots == grid.cmem_len + waiting
    for p, (blocks, recent) in views.items():
        assert recent[0] == grid.edge(p)
        assert blocks == list(range(max(0, grid.left(p) - grid.cmem_len), grid.left(p)))
        assert len(recent) - 1 >= min(p, p % grid.segment + grid.mem_len)
    position = torch.arange(120)
    assert grid.edge(position).tolist() == [grid.edge(p) for p in range(120)]
    assert grid.made(position).tolist() == [grid.made(p) for p in range(120)]


@given(
    grid=SIZES | AT_ONCE,
    cuts=st.sets(st.integers(1, 39), max_size=6),
    begins=st.sets(st.tuples(st.integers(0, 2), st.integers(0, 39)), max_size=5),
    ragged=st.booleans(),
    seed=st.integers(0, 99),
)
def test_runs_are_what_tokens_see(
    grid: Grid, cuts: set[int], begins: set[tuple[int, int]], ragged: bool, seed: int
) -> None:
    """Three lanes read chunk by chunk, each with a ring of (document, block) and one of (document, position)."""
    rng = torch.Generator().manual_seed(seed)
    position = torch.zeros(3, dtype=torch.int64)
    document = [0, 0, 0]
    slots: list[list[tuple[int, int]]] = [[], [], []]
    recent: list[list[tuple[int, int]]] = [[], [], []]
    for begin, end in pairwise([0, *sorted(cuts), 40]):
        time = end - begin
        starts = torch.zeros(3, time, dtype=torch.bool)
        for lane, at in begins:
            if begin <= at < end:
                starts[lane, at - begin] = True
        lengths = torch.randint(time + 1, (3,), generator=rng) if ragged else None
        clock = tick(position, time=time, starts=starts, lengths=lengths)
        position = clock.following
        runs = runs_of(clock, grid)
        assert len(runs.lanes) in (1, 3)
        for lane in range(3):
            real = time if lengths is None else int(lengths[lane])
            made: list[tuple[int, int]] = []
            now: list[tuple[int, int]] = []
            for t in range(real):
                document[lane] += bool(starts[lane, t])
                now.append((document[lane], int(clock.position[lane, t])))
            mine = runs.lanes[lane % len(runs.lanes)]
            assert [t for run in mine for t in range(run.tokens.start, run.tokens.stop)] == list(range(real))
            for run in mine:
                where = now[run.tokens.start]
                of_chunk = [now[t] for t in range(max(run.recent, 0), run.tokens.stop)]
                line = recent[lane][len(recent[lane]) + min(run.recent, 0) :] + of_chunk
                own = (slots[lane] + made)[len(slots[lane]) + run.slots.start : len(slots[lane]) + run.slots.stop]
                for t in range(run.tokens.start, run.tokens.stop):
                    blocks, positions = seen_by(grid, now[t][1])
                    assert own == [(where[0], block) for block in blocks]
                    assert line[: len(line) - (run.tokens.stop - 1 - t)] == [(where[0], p) for p in positions]
                assert run.length == len(own) + len(line)
                assert len(own) <= runs.slots.stop - runs.slots.start
                assert -run.recent <= runs.past <= grid.recent
                assert (
                    now[run.tokens.start][1] - (run.tokens.start - run.began) == where[1] // grid.segment * grid.segment
                )
                after = now[run.tokens.stop - 1][1] + 1
                assert run.ends == (after % grid.segment == 0)
                assert run.leaving == grid.edge(where[1] - where[1] % grid.segment + grid.segment) - run.edge
                new = [(where[0], block) for block in range(grid.made(where[1]), grid.made(after))]
                assert run.makes == len(new)
                made += new
            assert runs.made[lane % len(runs.made)] == len(made)
            slots[lane] = (slots[lane] + made)[-grid.slots :]
            recent[lane] = (recent[lane] + now)[-grid.recent :]


def test_lanes_in_step_share_their_runs() -> None:
    grid = Grid(segment=4, mem_len=4, cmem_len=2, rate=2, at_once=False)
    together = runs_of(tick(torch.tensor([6, 6]), time=5, starts=None, lengths=None), grid)
    apart = runs_of(tick(torch.tensor([6, 7]), time=5, starts=None, lengths=None), grid)
    assert [len(lane) for lane in together.lanes] == [2]
    assert [len(lane) for lane in apart.lanes] == [2, 2]
    assert together.made == (2,)
    assert apart.made == (2, 3)
    (both,) = together.by_lane(torch.zeros(2, 5))
    assert both[1].shape == (2, 5)
    assert [part[1].shape for part in apart.by_lane(torch.zeros(2, 5))] == [(1, 5), (1, 5)]
    assert together.clock_of_slots(tick(torch.tensor([6, 6]), time=5, starts=None, lengths=None)).lengths is None
    assert apart.clock_of_slots(tick(torch.tensor([6, 7]), time=5, starts=None, lengths=None)).lengths.tolist() == [
        2,
        3,
    ]


@pytest.mark.parametrize("context", [0, 2])
def test_blocks_are_taken_with_their_context_and_slots_given_to_their_lanes(context: int) -> None:
    """Layer inputs are numbered ``100 lane + position``; those from before a document are not asked for."""
    grid = Grid(segment=4, mem_len=4, cmem_len=2, rate=3, at_once=False)
    starts = torch.zeros(3, 7, dtype=torch.bool)
    starts[1, 2] = True
    clock = tick(torch.tensor([5, 30, 0]), time=7, starts=starts, lengths=torch.tensor([7, 6, 4]))
    lane = 100 * torch.arange(3)[:, None]
    earlier = lane + torch.tensor([[5], [30], [0]]) + torch.arange(-2 - context, 0)
    line = torch.cat([earlier, lane + clock.position], dim=1)[..., None].double()
    new = new_blocks(clock, runs_of(clock, grid), rate=3, context=context)
    blocks = new.take(line)[..., 0]
    for block, last in zip(blocks.tolist(), [5, 8, 11, 102, 202], strict=True):
        back = range(2 + context, -1, -1)
        assert block == [last - i if last % 100 >= i else 0 for i in back]
    assert new.give(blocks[:, -1:], lanes=3)[..., 0].tolist() == [[5, 8, 11], [102, 0, 0], [202, 0, 0]]


def test_between_and_join() -> None:
    past, chunk = torch.arange(5.0)[None, :, None], torch.arange(5.0, 9.0)[None, :, None]
    for start in range(-5, 5):
        for stop in range(start, 5):
            parts = between(past, chunk, start, stop)
            assert join(parts, like=chunk).flatten().tolist() == list(range(5 + start, 5 + stop))
            assert len(parts) == (start < min(stop, 0)) + (max(start, 0) < stop)
    assert join([past.double(), chunk], like=chunk).dtype == torch.float32


def test_split_leaves_zeros_for_padding() -> None:
    grid = Grid(segment=2, mem_len=2, cmem_len=1, rate=1, at_once=False)
    clock = tick(torch.tensor([1, 0]), time=4, starts=None, lengths=torch.tensor([3, 4]))
    query = torch.ones(1, 4, 2, 3)
    first, second = runs_of(clock, grid).lanes
    parts, padding = split(query, first)
    assert [part.shape[1] for part in parts] == [1, 2]
    assert [int(rest.sum()) for rest in padding] == [0]
    assert padding[0].shape == (1, 1, 2, 3)
    assert split(query, second)[1] == []


def test_in_order_lets_the_last_tokens_see_all_up_to_themselves() -> None:
    sight = in_order(200, 300)
    assert [(block.queries, block.keys) for block in sight.blocks] == [
        (slice(0, 128), slice(0, 228)),
        (slice(128, 200), slice(0, 300)),
    ]
    assert all(block.visible is None for block in sight.blocks)
    assert sight.oldest == 0
