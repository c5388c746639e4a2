import json
from collections.abc import Callable, Sequence
from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from everlong.data import Chunk, LaneReader, TokenStore, lanes
from everlong.errors import ConfigError, DataError
from everlong.shapes import IGNORE

StoreMaker = Callable[[Sequence[str]], TokenStore]
TEXTS = ["abcdefgh", "ij", "k", "lmnopqrstuvwxyz"]  # 26 tokens


def rows(chunks: Sequence[Chunk], field: str) -> list[list[int]]:
    return torch.cat([getattr(chunk, field) for chunk in chunks], dim=1).int().tolist()


def lane_one_by_one(texts: Sequence[str], *, lane: int, n_lanes: int, count: int) -> list[tuple[int, int, bool]]:
    """Reference: token, target and start of one lane, a token at a time."""
    stream = [(byte, i == 0) for text in texts for i, byte in enumerate(text.encode())]
    size = len(stream) // n_lanes
    part = stream[lane * size : (lane + 1) * size]
    out: list[tuple[int, int, bool]] = []
    for step in range(count):
        place, following = step % size, (step + 1) % size
        ends = following == 0 or part[following][1]
        out.append((part[place][0], IGNORE if ends else part[following][0], place == 0 or part[place][1]))
    return out


def test_lanes_read_their_parts_from_front_to_back(make_store: StoreMaker) -> None:
    first, second = islice(LaneReader(make_store(TEXTS), lanes=2, chunk=8), 2)
    assert bytes(first.tokens[0].tolist()) == b"abcdefgh"
    assert bytes(second.tokens[0].tolist()) == b"ijklmabc", "the part is 13 tokens long, then it begins again"
    assert second.starts[0].tolist() == [True, False, True, True, False, True, False, False]
    assert second.targets[0].tolist() == [*b"j", IGNORE, IGNORE, *b"m", IGNORE, *b"bcd"]
    assert bytes(first.tokens[1].tolist()) == b"nopqrstu"
    assert first.starts[1].tolist() == [True] + [False] * 7, "a lane begins anew inside a document too"
    assert first.lengths.tolist() == [8, 8]
    assert {first.tokens.dtype, first.targets.dtype, first.lengths.dtype} == {torch.int64}
    assert first.starts.dtype == torch.bool
    assert first.tokens.is_contiguous()
    assert first.starts.is_contiguous()


@given(st.lists(st.text("abc", max_size=9), min_size=1, max_size=9), st.integers(1, 4), st.integers(1, 9))
def test_chunks_are_what_reading_token_by_token_gives(
    make_store: StoreMaker, texts: list[str], n_lanes: int, chunk: int
) -> None:
    texts = [*texts, "x" * n_lanes * (chunk + 1)]
    chunks = list(islice(LaneReader(make_store(texts), lanes=n_lanes, chunk=chunk), 12))
    fields = zip(rows(chunks, "tokens"), rows(chunks, "targets"), rows(chunks, "starts"), strict=True)
    for lane, (tokens, targets, starts) in enumerate(fields):
        wanted = lane_one_by_one(texts, lane=lane, n_lanes=n_lanes, count=12 * chunk)
        assert list(zip(tokens, targets, map(bool, starts), strict=True)) == wanted


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5))
def test_ranks_own_the_rows_one_rank_would_read(make_store: StoreMaker, world: int, per_rank: int, chunk: int) -> None:
    store, n_lanes = make_store([text * 4 for text in TEXTS]), world * per_rank
    whole = list(islice(LaneReader(store, lanes=n_lanes, chunk=chunk), 40))
    shares = [
        list(islice(LaneReader(store, lanes=n_lanes, chunk=chunk, rank=rank, world=world), 40)) for rank in range(world)
    ]
    for field in ("tokens", "targets", "starts", "lengths"):
        for step, together in enumerate(whole):
            assert torch.equal(getattr(together, field), torch.cat([getattr(share[step], field) for share in shares]))


@given(st.integers(0, 30), st.integers(1, 7))
def test_a_cursor_goes_on_exactly(make_store: StoreMaker, taken: int, chunk: int) -> None:
    store = make_store(TEXTS)
    reader = LaneReader(store, lanes=2, chunk=chunk)
    for _ in range(taken):
        next(reader)
    cursor = json.loads(json.dumps(reader.cursor()))
    assert reader.epoch == cursor["epoch"] == taken * chunk // 13
    shares = [LaneReader(store, lanes=2, chunk=chunk, rank=rank, world=2).seek(cursor) for rank in range(2)]
    for _ in range(5):
        wanted, parts = next(reader), [next(share) for share in shares]
        for field in ("tokens", "targets", "starts"):
            assert torch.equal(getattr(wanted, field), torch.cat([getattr(part, field) for part in parts]))
    assert shares[1].cursor() == reader.cursor()


def test_a_reader_hands_back_pages_and_reads_on(make_store: StoreMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    store, released = make_store(TEXTS), list[int]()
    monkeypatch.setattr(lanes, "RELEASE", 20)
    monkeypatch.setattr(store, "release", lambda: released.append(1))
    for _ in islice(LaneReader(store, lanes=2, chunk=5), 5):
        pass
    assert len(released) == 2


def test_a_chunk_moves_as_a_whole(make_store: StoreMaker) -> None:
    chunk = next(LaneReader(make_store(TEXTS), lanes=2, chunk=8)).to("meta")
    assert {chunk.tokens.device, chunk.targets.device, chunk.starts.device, chunk.lengths.device} == {
        torch.device("meta")
    }


def test_a_corpus_may_be_just_long_enough(make_store: StoreMaker) -> None:
    store = make_store(TEXTS)
    assert next(LaneReader(store, lanes=2, chunk=12)).targets[1, -1] == ord("z")
    with pytest.raises(
        DataError,
        match=r"the corpus has 26 tokens, too few for lanes=2 of chunk=13: 28 are needed\. "
        "Use fewer lanes, a shorter chunk or more text",
    ):
        LaneReader(store, lanes=2, chunk=13)


@pytest.mark.parametrize(
    ("sizes", "wording"),
    [
        ({"lanes": 0}, "lanes=0 is too small. Choose 1 or more"),
        ({"chunk": 0}, "chunk=0 is too small"),
        ({"world": 0}, "world=0 is too small"),
        ({"lanes": 5, "world": 3}, r"lanes=5 cannot be shared evenly by world=3 ranks\. Choose lanes=3 or 6"),
        ({"lanes": 2, "world": 3}, r"Choose lanes=3\."),
        ({"world": 2, "rank": 2}, r"there is no rank=2 among world=2\. Choose 0 to 1"),
        ({"world": 2, "rank": -1}, "there is no rank=-1"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(make_store: StoreMaker, sizes: dict[str, int], wording: str) -> None:
    with pytest.raises(ConfigError, match=wording):
        LaneReader(make_store(TEXTS), **{"lanes": 2, "chunk": 3, **sizes})


def test_a_cursor_of_other_settings_is_refused(make_store: StoreMaker) -> None:
    store = make_store(TEXTS)
    reader = LaneReader(store, lanes=2, chunk=3)
    cursor = reader.cursor()
    for other, wording in [
        (LaneReader(store, lanes=1, chunk=3), "taken with lanes=2, this reader has lanes=1. Go on with the same data"),
        (LaneReader(store, lanes=2, chunk=4), "taken with chunk=3, this reader has chunk=4"),
        (LaneReader(make_store([*TEXTS, "x"]), lanes=2, chunk=3), "taken with store=[0-9a-f]+, this reader has store="),
    ]:
        with pytest.raises(DataError, match=wording):
            other.seek(cursor)
    for part in ({"offset": 13}, {"offset": -1}, {"epoch": -1}, {"epoch": "1"}, {"offset": None}):
        with pytest.raises(DataError, match=r"the cursor's epoch .* and offset .* are not in the corpus.*cursor\(\)"):
            reader.seek({**cursor, **part})
    assert reader.cursor() == cursor, "a cursor that is refused moves nothing"
