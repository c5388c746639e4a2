"""Attention by buckets against its one-by-one twins, values and gradients."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from everlong.clock import Clock, tick
from everlong.nn import bucket_bands, tiles
from everlong.nn.bucket_bands import BucketSight
from everlong.nn.lsh_attention import attend_alone, attend_chunks, attend_hashed, last_of
from tests.reference.reformer import chunked_attention_one_by_one, hashed_attention_one_by_one

LANES, HEADS, ROUNDS, WIDTH = 3, 2, 3, 4
SIGHT = BucketSight(n_buckets=4, bucket_size=3, context=9, count_duplicates=True)


@pytest.fixture(params=[1, 200, 2**17], ids="pieces of {} pairs".format)
def _pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Part of a head at a time, one head, or all heads at once."""
    monkeypatch.setattr(tiles, "PIECE", request.param)


def make_clock(time: int, *, ragged: bool = False) -> Clock:
    starts = torch.zeros(LANES, time, dtype=torch.bool)
    starts[0, time // 2] = starts[2, 0] = True
    lengths = torch.tensor([time, (time + 1) // 2, 0]) if ragged else None
    return tick(torch.tensor([4, 40, 5]), time=time, starts=starts, lengths=lengths)


def make(time: int, *, ring: int, n_buckets: int = 4) -> tuple[list[Tensor], Tensor]:
    """Queries, keys and values, and buckets of the line."""
    x = [torch.randn(LANES, length, HEADS, WIDTH, dtype=torch.float64) for length in (time, *[ring + time] * 2)]
    buckets = torch.randint(n_buckets, (LANES, HEADS, ROUNDS, ring + time), dtype=torch.int16)
    return [y.requires_grad_() for y in (2 * x[0], F.normalize(x[1], dim=-1), x[2])], buckets


def attend(query: Tensor, key: Tensor, value: Tensor, buckets: Tensor, *, clock: Clock, sight: BucketSight) -> Tensor:
    """Attention of a chunk to the line."""
    ring = buckets.shape[-1] - clock.time
    past = torch.cat([key, value], dim=2).flatten(2)[:, :ring]
    return attend_hashed(query, key[:, ring:], value[:, ring:], buckets, past=past, clock=clock, sight=sight)


def agree(found: Tensor, expected: Tensor, given: list[Tensor], *, real: Tensor | None = None) -> None:
    """Values, and gradients of a random mixture of what is real."""
    mixture = torch.randn_like(found)
    if real is not None:
        mixture = mixture * real[..., None, None]
    torch.testing.assert_close(found * mixture, expected * mixture, rtol=0, atol=1e-13)
    ours, theirs = (torch.autograd.grad((out * mixture).sum(), given) for out in (found, expected))
    for mine, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-11, atol=1e-13)


def one_by_one(given: list[Tensor], buckets: Tensor, clock: Clock, sight: BucketSight) -> Tensor:
    ring = buckets.shape[-1] - clock.time
    first = ring + torch.arange(clock.time) - clock.position
    return torch.stack(
        [
            hashed_attention_one_by_one(
                *(x[lane] for x in given),
                buckets[lane],
                first=first[lane].tolist(),
                bucket_size=sight.bucket_size,
                context=sight.context,
                count_duplicates=sight.count_duplicates,
            )
            for lane in range(LANES)
        ]
    )


@pytest.mark.usefixtures("_pieces")
@pytest.mark.parametrize("ragged", [True, False])
@pytest.mark.parametrize("time", [1, 2, 17])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"count_duplicates": False},
        {"bucket_size": 1},
        {"bucket_size": 20, "context": 5},
        {"bucket_size": 20, "context": 60, "count_duplicates": False},
        {"n_buckets": 2, "bucket_size": 5, "context": 1},
    ],
    ids=str,
)
def test_attend_hashed_is_its_twin(changes: dict[str, Any], time: int, ragged: bool) -> None:
    sight = BucketSight(**{**vars(SIGHT), **changes})
    clock = make_clock(time, ragged=ragged)
    given, buckets = make(time, ring=min(sight.context - 1, int(clock.before.max())), n_buckets=sight.n_buckets)
    found = [attend(*given, buckets, clock=clock, sight=sight)]
    if time == 1:
        line = torch.cat(given[1:], dim=2).flatten(2)
        found.append(attend_alone(given[0], line, buckets, clock=clock, sight=sight))
    for ours in found:
        agree(ours, one_by_one(given, buckets, clock, sight), given, real=clock.valid)


def test_a_past_without_gradient_changes_no_other() -> None:
    given, buckets = make(17, ring=8)
    clock = make_clock(17, ragged=True)
    given = [given[0], *(x[:, 8:].detach().requires_grad_() for x in given[1:])]
    mixture = torch.randn(LANES, 17, HEADS, WIDTH, dtype=torch.float64)
    found: list[tuple[Tensor, ...]] = []
    for needs_gradient in (True, False):
        past = torch.ones(LANES, 8, 2 * HEADS * WIDTH, dtype=torch.float64, requires_grad=needs_gradient)
        seen = attend_hashed(*given, buckets, past=past, clock=clock, sight=SIGHT)
        found.append(torch.autograd.grad((seen * mixture).sum(), given))
    for ours, theirs in zip(*found, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_tiles_of_any_height(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_bands, "ROWS", (rows,))
    given, buckets = make(23, ring=8)
    clock = make_clock(23)
    agree(attend(*given, buckets, clock=clock, sight=SIGHT), one_by_one(given, buckets, clock, SIGHT), given)


@pytest.mark.usefixtures("_pieces")
@pytest.mark.parametrize("count_duplicates", [True, False])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("time", "chunk"), [(1, 3), (5, 5), (9, 4), (12, 4), (10, 1), (13, 7), (6, 90)])
def test_attend_chunks_is_its_twin(time: int, chunk: int, causal: bool, count_duplicates: bool) -> None:
    given, buckets = make(time, ring=0)
    options: dict[str, Any] = {"chunk": chunk, "causal": causal, "count_duplicates": count_duplicates}
    found = attend_chunks(*given, buckets, **options)
    lanes = [chunked_attention_one_by_one(*(x[n] for x in given), buckets[n], **options) for n in range(LANES)]
    agree(found, torch.stack(lanes), given)


@pytest.mark.parametrize("count_duplicates", [True, False])
@pytest.mark.parametrize("chunk", [1, 3, 20])
def test_padding_sees_itself_and_moves_nothing(chunk: int, count_duplicates: bool) -> None:
    given, buckets = make(11, ring=0)
    options: dict[str, Any] = {"chunk": chunk, "causal": False, "count_duplicates": count_duplicates}
    lengths = torch.tensor([7, 0, 11])
    found = attend_chunks(*given, buckets, lengths=lengths, **options)
    for lane, length in enumerate(lengths.tolist()):
        assert torch.equal(found[lane, length:], given[2][lane, length:])
        if length:
            real = [x[lane : lane + 1, :length] for x in given]
            alone = attend_chunks(*real, buckets[lane : lane + 1, ..., :length], **options)
            torch.testing.assert_close(found[lane : lane + 1, :length], alone, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("count_duplicates", "expected"), [(True, 1.75), (False, 2.0)])
def test_what_two_rounds_show_counts_twice_or_once(count_duplicates: bool, expected: float) -> None:
    """Three keys of equal score and values 1, 2 and 3, of which both rounds show the first: their mean is 2."""
    query = torch.zeros(1, 4, 1, 2, dtype=torch.float64)
    value = torch.tensor([1.0, 2.0, 3.0, 9.0], dtype=torch.float64)[None, :, None, None].expand(1, 4, 1, 2)
    buckets = torch.tensor([[[[0, 0, 1, 0], [0, 1, 0, 0]]]], dtype=torch.int16)
    sight = BucketSight(n_buckets=2, bucket_size=4, context=4, count_duplicates=count_duplicates)
    whole, last = (tick(torch.tensor([4 - time]), time=time, starts=None, lengths=None) for time in (4, 1))
    together = attend(query, query, value, buckets, clock=whole, sight=sight)
    line = torch.cat([query, value], dim=-1).flatten(2)
    alone = attend_alone(query[:, 3:], line, buckets, clock=last, sight=sight)
    for found in (together[0, 3], alone[0, 0]):
        torch.testing.assert_close(found, torch.full((1, 2), expected, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_token_that_sees_nothing_in_any_round_has_its_own_value_to_the_bit(dtype: torch.dtype) -> None:
    """A self-score of -1e5 that every round takes part with gives weights that add up to the number of rounds."""
    given, buckets = make(5, ring=0)
    query, key, value = (x.detach().to(dtype) for x in given)
    clock = tick(torch.zeros(LANES, dtype=torch.int64), time=5, starts=None, lengths=None)
    hashed = attend(query, key, value, buckets, clock=clock, sight=SIGHT)
    chunks = attend_chunks(query, key, value, buckets, chunk=9, causal=True, count_duplicates=True)
    for found in (hashed, chunks):
        assert found.dtype == dtype
        assert torch.equal(found[:, 0], value[:, 0])


def test_half_precision_takes_its_softmax_in_float32() -> None:
    given, buckets = make(17, ring=8)
    clock = make_clock(17)
    expected = attend(*given, buckets, clock=clock, sight=SIGHT)
    half = [x.detach().bfloat16().requires_grad_() for x in given]
    with torch.autocast("cpu", torch.bfloat16):
        found = attend(*half, buckets, clock=clock, sight=SIGHT)
    assert found.dtype == torch.bfloat16
    assert float((found.double() - expected).detach().abs().max()) < 0.1
    found.sum().backward()
    assert all(x.grad is not None and x.grad.dtype == torch.bfloat16 for x in half)


def test_the_last_of_every_row() -> None:
    """Rows with more of them than asked for, with fewer, and with none."""
    rows = torch.tensor([[[1, 0, 1, 1, 1], [0, 0, 1, 0, 0]], [[0] * 5, [1, 1, 0, 0, 0]]]).bool()
    assert last_of(rows, count=3).tolist() == [[[4, 3, 2], [2, -1, -1]], [[-1] * 3, [1, 0, -1]]]
    assert last_of(rows[..., :0], count=2).tolist() == [[[-1, -1]] * 2] * 2
