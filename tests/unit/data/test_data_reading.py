from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from everlong.data import DocumentChunk, TokenStore, document_chunks, document_windows, reading
from everlong.errors import ConfigError
from everlong.shapes import IGNORE

StoreMaker = Callable[[Sequence[str]], TokenStore]
Reading = Callable[..., Iterator[DocumentChunk]]
TEXTS = ["abcdefgh", "ij", "k", "lmnop"]


def test_documents_stay_in_their_lanes_and_the_longest_come_first(make_store: StoreMaker) -> None:
    chunks = list(document_chunks(make_store(TEXTS), lanes=2, chunk=4))
    assert [chunk.document.tolist() for chunk in chunks] == [[0, 3], [0, 3], [1, 2]]
    assert [chunk.offset.tolist() for chunk in chunks] == [[0, 0], [4, 4], [0, 0]]
    assert [chunk.chunk.lengths.tolist() for chunk in chunks] == [[4, 4], [4, 1], [2, 1]]
    assert chunks[1].chunk.tokens.tolist() == [[*b"efgh"], [*b"p", 0, 0, 0]]
    assert chunks[0].chunk.targets.tolist() == [[*b"bcde"], [*b"mnop"]]
    assert chunks[1].chunk.targets.tolist() == [[*b"fgh", IGNORE], [IGNORE] * 4]
    assert chunks[0].chunk.starts.tolist() == [[True, False, False, False]] * 2
    assert not chunks[1].chunk.starts.any()
    assert {chunks[0].chunk.tokens.dtype, chunks[0].document.dtype, chunks[0].offset.dtype} == {torch.int64}


def test_an_idle_lane_says_so(make_store: StoreMaker) -> None:
    (first, second) = document_chunks(make_store(["abc", "d"]), lanes=3, chunk=2)
    assert first.document.tolist() == [0, 1, -1]
    assert second.document.tolist() == [0, -1, -1]
    assert second.offset.tolist() == [2, 0, 0]
    assert second.chunk.lengths.tolist() == [1, 0, 0]
    assert not second.chunk.starts.any()
    assert second.chunk.tokens.tolist() == [[*b"c", 0], [0, 0], [0, 0]]
    assert second.chunk.targets.unique().tolist() == [IGNORE]


@given(
    st.lists(st.text("abcd", min_size=1, max_size=12), min_size=1, max_size=8),
    st.integers(1, 4),
    st.integers(1, 7),
    st.none() | st.integers(1, 60),
)
def test_every_document_is_read_once_and_whole(
    make_store: StoreMaker, texts: list[str], lanes: int, chunk: int, limit: int | None
) -> None:
    found: dict[int, bytes] = {}
    guessed: dict[int, bytes] = {}
    for part in document_chunks(make_store(texts), lanes=lanes, chunk=chunk, limit=limit):
        assert part.chunk.tokens.shape == part.chunk.targets.shape == part.chunk.starts.shape == (lanes, chunk)
        for lane, (document, offset) in enumerate(zip(part.document.tolist(), part.offset.tolist(), strict=True)):
            length = int(part.chunk.lengths[lane])
            assert (length == 0) == (document == -1)
            if length:
                assert len(found.setdefault(document, b"")) == offset
                assert part.chunk.starts[lane].tolist() == [offset == 0] + [False] * (chunk - 1)
                found[document] += bytes(part.chunk.tokens[lane, :length].tolist())
                targets = part.chunk.targets[lane]
                guessed[document] = guessed.get(document, b"") + bytes(targets[targets != IGNORE].tolist())
    left = sum(map(len, texts)) if limit is None else limit
    wanted: dict[int, bytes] = {}
    for i, text in enumerate(texts):
        if text[:left]:
            wanted[i] = text[:left].encode()
        left = max(0, left - len(text))
    assert found == wanted
    assert guessed == {i: text[1:] for i, text in wanted.items()}


def test_reading_repeats_itself_and_hands_back_pages(make_store: StoreMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    store, released = make_store(TEXTS), list[int]()
    monkeypatch.setattr(reading, "RELEASE", 12)
    monkeypatch.setattr(store, "release", lambda: released.append(1))
    once, again = (list(document_chunks(store, lanes=2, chunk=3)) for _ in range(2))
    assert all(torch.equal(a.chunk.tokens, b.chunk.tokens) for a, b in zip(once, again, strict=True))
    assert len(released) == 2 * (len(once) * 6 // 12)


@pytest.mark.parametrize("name", ["lanes", "chunk", "limit"])
@pytest.mark.parametrize("read", [document_chunks, document_windows])
def test_sizes_below_one_are_refused_at_once(make_store: StoreMaker, read: Reading, name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}=0 is too small. Choose 1 or more"):
        read(make_store(TEXTS), **{"lanes": 2, "chunk": 3, "limit": 5, name: 0})


def test_windows_stand_side_by_side_and_the_longest_come_first(make_store: StoreMaker) -> None:
    windows = list(document_windows(make_store(TEXTS), lanes=3, chunk=4))
    assert [window.document.tolist() for window in windows] == [[0, 0, 3], [1, 2, 3]]
    assert [window.offset.tolist() for window in windows] == [[0, 4, 0], [0, 0, 4]]
    assert [window.chunk.lengths.tolist() for window in windows] == [[4, 4, 4], [2, 1, 1]]
    assert windows[1].chunk.tokens.tolist() == [[*b"ij"], [*b"k", 0], [*b"p", 0]]
    assert windows[0].chunk.starts[:, 0].tolist() == [True, False, True]


@given(
    st.lists(st.text("abcd", min_size=1, max_size=12), min_size=1, max_size=8),
    st.integers(1, 4),
    st.integers(1, 7),
    st.none() | st.integers(1, 60),
)
def test_every_document_is_in_its_windows_once(
    make_store: StoreMaker, texts: list[str], lanes: int, chunk: int, limit: int | None
) -> None:
    found: dict[int, dict[int, bytes]] = {}
    for part in document_windows(make_store(texts), lanes=lanes, chunk=chunk, limit=limit):
        assert len(part.document) <= lanes
        assert part.chunk.tokens.shape[1] == int(part.chunk.lengths.max()) <= chunk
        for lane, (document, offset) in enumerate(zip(part.document.tolist(), part.offset.tolist(), strict=True)):
            tokens = part.chunk.tokens[lane, : int(part.chunk.lengths[lane])]
            assert offset % chunk == 0
            assert offset not in found.setdefault(document, {})
            found[document][offset] = bytes(tokens.tolist())
    whole = [b"".join(parts[offset] for offset in sorted(parts)) for _, parts in sorted(found.items())]
    assert b"".join(whole) == "".join(texts).encode()[:limit]


def test_windows_hand_back_pages(make_store: StoreMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    store, released = make_store(TEXTS), list[int]()
    monkeypatch.setattr(reading, "RELEASE", 12)
    monkeypatch.setattr(store, "release", lambda: released.append(1))
    assert len(list(document_windows(store, lanes=2, chunk=3))) == 4
    assert len(released) == 2
