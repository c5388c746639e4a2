import json
from collections.abc import Callable, Sequence
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from everlong.data import ByteTokenizer, ChosenReader, Chunk, Drawn, LaneReader, Parts, Passages, TokenStore, chosen
from everlong.data.orders import require_documents
from everlong.errors import ConfigError, DataError
from everlong.shapes import IGNORE

StoreMaker = Callable[[Sequence[str]], TokenStore]
BYTES = ByteTokenizer()
TEXTS = ["abcdefgh", "ij", "k", "lmnopqrstuvwxyz"]  # 26 tokens
FIELDS = ("tokens", "targets", "starts", "lengths")
STORY = ["One day the ships came home. " * 9, "winter " * 30, "it was late " * 20]


def reader(store: TokenStore, *, share: float | None = None, drawn: bool = False, **changes: Any) -> ChosenReader:
    sizes = {"lanes": 2, "chunk": 8, "seed": 3, **changes}
    order: Drawn | Parts
    if drawn:
        order = Drawn(store, np.arange(1.0, store.n_documents + 1), seed=sizes["seed"])
    else:
        order = Parts(store, lanes=sizes["lanes"], chunk=sizes["chunk"])
    passages = None if share is None else Passages(store, BYTES, chunk=sizes["chunk"])
    return ChosenReader(store, order, passages=passages, share=lambda: share or 0.0, **sizes)


def assert_same(one: Chunk, two: Chunk) -> None:
    for field in FIELDS:
        assert torch.equal(getattr(one, field), getattr(two, field)), field


def row(chunks: Sequence[Chunk], field: str, lane: int) -> list[int]:
    return torch.cat([getattr(chunk, field)[lane] for chunk in chunks]).int().tolist()


@given(st.lists(st.text("abc", max_size=9), min_size=1, max_size=9), st.integers(1, 4), st.integers(1, 9))
def test_parts_without_passages_are_the_lanes_that_they_always_were(
    make_store: StoreMaker, texts: list[str], lanes: int, chunk: int
) -> None:
    store = make_store([*texts, "x" * lanes * (chunk + 1)])
    plain = LaneReader(store, lanes=lanes, chunk=chunk)
    for found, expected in islice(zip(reader(store, lanes=lanes, chunk=chunk), plain, strict=False), 30):
        assert_same(found, expected)


def test_a_lane_reads_whole_documents_each_from_its_beginning(make_store: StoreMaker) -> None:
    store = make_store(TEXTS)
    chunks = list(islice(reader(store, drawn=True, chunk=5), 60))
    for lane in range(2):
        text, starts = bytes(row(chunks, "tokens", lane)), row(chunks, "starts", lane)
        cuts = [*np.flatnonzero(starts).tolist(), len(text)]
        documents = [text[a:b].decode() for a, b in pairwise(cuts)]
        assert set(documents[:-1]) == set(TEXTS)
        assert any(whole.startswith(documents[-1]) for whole in TEXTS)
        expected = [IGNORE if start else byte for start, byte in zip(starts[1:], text[1:], strict=True)]
        assert row(chunks, "targets", lane)[:-1] == expected


def test_documents_are_drawn_by_their_weights(make_store: StoreMaker) -> None:
    store = make_store(TEXTS)
    order = Drawn(store, np.array([1.0, 0.0, 3.0, 4.0]), seed=0)
    for lane in range(2):
        begins = [order.bounds(lane, turn)[0] for turn in range(2000)]
        counts = [begins.count(int(begin)) for begin in store.starts[:-1]]
        # Three standard deviations of a binomial.
        assert counts[1] == 0
        for count, chance in zip(counts, (1 / 8, 0, 3 / 8, 1 / 2), strict=True):
            assert abs(count - 2000 * chance) <= 3 * (2000 * chance * (1 - chance)) ** 0.5
    assert [order.bounds(0, t) for t in range(50)] != [order.bounds(1, t) for t in range(50)]
    assert {order.bounds(0, t) for t in range(50)} <= {(0, 8), (10, 11), (11, 26)}


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_passages_have_their_share_of_the_tokens_and_no_text_is_lost(
    make_store: StoreMaker, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chosen, "STRETCH", 4)
    store = make_store([STORY[0] * 40])
    texts = reader(store, share=share, chunk=16)
    chunks = list(islice(texts, 3000))
    for lane, place in enumerate(texts._places):
        generated = share * 3000 * 16 - place.owed
        assert generated == pytest.approx(share * 3000 * 16, abs=16 * 16 + 16 * 80 + 4 * 16)
        real = place.turn * (store.n_tokens // 2) + place.offset
        assert real + generated - (len(texts._open[lane]) - place.within if place.within >= 0 else 0) == 3000 * 16
        text = bytes(row(chunks, "tokens", lane))
        starts = row(chunks, "starts", lane)
        # Memory begins anew at both ends of a passage, which may be the same place as the next one's beginning.
        assert place.passages < sum(starts) <= 2 * place.passages + place.turn + 1
        assert text.count(b"What is the code of ") >= place.passages - 1


def test_a_long_document_goes_on_behind_a_passage_where_it_stopped(
    make_store: StoreMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chosen, "STRETCH", 2)
    text = "".join(f"{n} " for n in range(1000, 1400))
    store = make_store([text])
    texts = reader(store, share=0.3, lanes=1, chunk=16)
    chunks = list(islice(texts, 60))
    read, starts = bytes(row(chunks, "tokens", 0)).decode(), row(chunks, "starts", 0)
    cuts = [*np.flatnonzero(starts).tolist(), len(read)]
    pieces = [read[a:b] for a, b in pairwise(cuts)]
    real = pieces[::2]
    assert all("code" in piece for piece in pieces[1::2][:-1])
    assert "".join(real) == text[: sum(map(len, real))]
    assert all(len(piece) % 32 == 0 for piece in real[:-1]), "passages come between stretches"
    targets = row(chunks, "targets", 0)
    assert all(targets[cut - 1] != IGNORE for cut in cuts[1:-1:2]), "the next token of a document is known there too"
    assert all(targets[cut - 1] == IGNORE for cut in cuts[2:-1:2])


def test_a_share_that_falls_to_nothing_ends_the_passages(make_store: StoreMaker) -> None:
    store, share = make_store(STORY * 5), [0.5]
    texts = ChosenReader(
        store,
        Parts(store, lanes=1, chunk=8),
        passages=Passages(store, BYTES, chunk=8),
        share=lambda: share[0],
        lanes=1,
        chunk=8,
        seed=0,
    )
    for _ in islice(texts, 500):
        pass
    seen = texts._places[0].passages
    assert seen > 5
    share[0] = 0.0
    for _ in islice(texts, 200):
        pass
    seen = texts._places[0].passages
    for _ in islice(texts, 500):
        pass
    assert texts._places[0].passages == seen


def test_lanes_take_turns(make_store: StoreMaker) -> None:
    texts = reader(make_store([STORY[0] * 200]), share=0.2, lanes=4, chunk=8)
    busy = [sum(place.within >= 0 for place in texts._places) for _ in islice(texts, 400)]
    assert max(busy) < 4


@pytest.mark.parametrize(("drawn", "share"), [(False, 0.4), (True, None), (True, 0.4)])
@pytest.mark.parametrize("taken", [0, 1, 7, 90])
def test_a_cursor_goes_on_exactly_and_ranks_own_the_rows_of_one(
    make_store: StoreMaker, taken: int, share: float | None, *, drawn: bool
) -> None:
    store = make_store(STORY)
    whole = reader(store, share=share, drawn=drawn)
    for _ in range(taken):
        next(whole)
    cursor = json.loads(json.dumps(whole.cursor()))
    shares = [reader(store, share=share, drawn=drawn, rank=rank, world=2).seek(cursor) for rank in range(2)]
    for _ in range(40):
        wanted, parts = next(whole), [next(part) for part in shares]
        for field in FIELDS:
            assert torch.equal(getattr(wanted, field), torch.cat([getattr(part, field) for part in parts]))
    assert shares[1].cursor() == whole.cursor()


def test_pages_are_handed_back(make_store: StoreMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    store, released = make_store(TEXTS), list[int]()
    monkeypatch.setattr(chosen, "RELEASE", 20)
    monkeypatch.setattr(store, "release", lambda: released.append(1))
    for _ in islice(reader(store, chunk=5), 5):
        pass
    assert len(released) == 2


def test_a_cursor_of_something_else_is_refused(make_store: StoreMaker) -> None:
    store = make_store(STORY)
    texts = reader(store, share=0.5)
    cursor = texts.cursor()
    with pytest.raises(DataError, match="taken with order=parts, this reader has order=drawn"):
        reader(store, drawn=True).seek(cursor)
    with pytest.raises(DataError, match="taken with seed=3, this reader has seed=4"):
        reader(store, seed=4).seek(cursor)
    one = json.loads(str(cursor["places"]))[0]
    for places in (None, "[", "[[1]]", json.dumps([one]), json.dumps([one, [0, 10**9, *one[2:]]]), "7"):
        with pytest.raises(
            DataError, match=r"the cursor's places .* are not those of 2 lanes of the corpus\. Give one"
        ):
            texts.seek({**cursor, "places": places})
    assert texts.cursor() == cursor, "a cursor that is refused moves nothing"


def test_sizes_that_do_not_fit_are_refused(make_store: StoreMaker) -> None:
    store = make_store(TEXTS)
    with pytest.raises(ConfigError, match="lanes=5 cannot be shared evenly by world=3"):
        reader(store, lanes=5, chunk=2, world=3)
    with pytest.raises(
        DataError, match=r"the corpus has too few documents to draw from: 4 for lanes=5.*leave favour at 0"
    ):
        require_documents(store, lanes=5)
    with pytest.raises(DataError, match="too few for lanes=2 of chunk=13: 28 are needed"):
        Parts(store, lanes=2, chunk=13)
