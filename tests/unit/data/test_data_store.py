import errno
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everlong.data import BPETokenizer, ByteTokenizer, Document, TokenStore
from everlong.data.sealed import read_sealed, write_sealed
from everlong.errors import DamagedFile, DataError, RunError

TEXTS = ["once upon a time", "龍", "the end"]
StoreMaker = Callable[[Sequence[str]], TokenStore]


def documents(texts: Sequence[str] = TEXTS) -> list[Document]:
    return [Document(f"text {i}", text) for i, text in enumerate(texts)]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_store_gives_back_its_documents(tmp_path: Path) -> None:
    TokenStore.build(documents(), ByteTokenizer(), tmp_path / "a" / "store")
    store = TokenStore.open(str(tmp_path / "a" / "store"))
    assert (store.n_documents, store.n_tokens, store.n_bytes, store.vocab_size) == (3, 26, 26, 256)
    assert [store.document(i).tobytes().decode() for i in range(3)] == TEXTS
    assert store.tokens.dtype == np.uint8
    assert store.starts.tolist() == [0, 16, 19, 26]
    assert names(store.folder) == {"tokens.bin", "documents.bin", "store.json"}
    assert names(tmp_path / "a") == {"store"}
    store.verify()


@given(st.lists(st.text(max_size=20), min_size=1, max_size=8).filter(any))
def test_any_texts_come_back_without_the_empty_ones(make_store: StoreMaker, texts: list[str]) -> None:
    store = make_store(texts)
    found = [store.document(i).tobytes().decode() for i in range(store.n_documents)]
    assert found == [text for text in texts if text]
    assert store.n_bytes == sum(len(text.encode()) for text in texts)


def test_tokens_are_as_small_as_the_vocabulary_allows(tmp_path: Path) -> None:
    tokenizer = BPETokenizer.train(TEXTS * 3, vocab_size=270)
    store = TokenStore.build(documents(), tokenizer, tmp_path / "store")
    assert store.tokens.dtype == np.uint16
    assert [tokenizer.decode(store.document(i)) for i in range(3)] == TEXTS
    assert store.n_tokens < store.n_bytes == 26


def test_nothing_can_be_written_through_a_store(make_store: StoreMaker) -> None:
    store = make_store(TEXTS)
    for view in (store.tokens, store.starts, store.document(0)):
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 1


def test_released_pages_are_read_again_when_needed(make_store: StoreMaker) -> None:
    store = make_store(TEXTS)
    view = store.document(0)
    store.release()
    assert view.tobytes().decode() == TEXTS[0]


def test_the_digest_tells_corpora_and_tokenizers_apart(make_store: StoreMaker, tmp_path: Path) -> None:
    one = make_store(TEXTS)
    assert one.digest == make_store(TEXTS).digest == TokenStore.open(one.folder).digest
    learned = BPETokenizer.train(TEXTS, vocab_size=256)
    others = [
        make_store([*TEXTS, "more"]),
        make_store(["once upon", " a time", *TEXTS[1:]]),
        TokenStore.build(documents(), learned, tmp_path / "learned"),
    ]
    assert len({one.digest, *[other.digest for other in others]}) == 4


def test_another_tokenizer_is_refused(make_store: StoreMaker) -> None:
    store = make_store(TEXTS)
    store.require_tokenizer(ByteTokenizer())
    with pytest.raises(DataError, match=r"was built with another tokenizer \(byte, 256 tokens\)\. Build a store"):
        store.require_tokenizer(BPETokenizer.train(TEXTS, vocab_size=256))


@pytest.mark.parametrize("index", [-1, 3])
def test_a_document_that_is_not_there_is_refused(make_store: StoreMaker, index: int) -> None:
    with pytest.raises(IndexError, match=f"there is no document {index}: the store has 3, counted from 0"):
        make_store(TEXTS).document(index)


def test_a_corpus_without_text_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    for texts in ([], ["", ""]):
        with pytest.raises(DataError, match="there is no text to build a token store from"):
            TokenStore.build(documents(texts), ByteTokenizer(), tmp_path / "store")
        assert names(tmp_path) == set()


def test_building_needs_little_memory(tmp_path: Path) -> None:
    piece = "龍 slept. " * 20_000

    def many() -> Iterator[Document]:
        yield Document("long", (piece for _ in range(50)))
        for i in range(2_000):
            yield Document(str(i), "ab")

    tracemalloc.start()
    store = TokenStore.build(many(), ByteTokenizer(), tmp_path / "store")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (store.n_documents, store.n_tokens) == (2_001, 50 * len(piece.encode()) + 4_000)
    assert peak < 5 << 20


def test_a_folder_in_use_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"is in use: there is something in it\. Choose another folder, or remove"):
        TokenStore.build(documents(), ByteTokenizer(), tmp_path)
    with pytest.raises(RunError, match=r"notes\.txt is in use"):
        TokenStore.build(documents(), ByteTokenizer(), tmp_path / "notes.txt")
    with pytest.raises(RunError, match=r"cannot write .*Choose a place you may write to"):
        TokenStore.build(documents(), ByteTokenizer(), tmp_path / "notes.txt" / "store")
    assert names(tmp_path) == {"notes.txt"}


def test_a_folder_taken_during_the_build_is_kept(tmp_path: Path) -> None:
    def slow() -> Iterator[Document]:
        yield from documents()
        TokenStore.build(documents(["other"]), ByteTokenizer(), tmp_path / "aside").folder.rename(tmp_path / "store")

    with pytest.raises(RunError, match="store is in use"):
        TokenStore.build(slow(), ByteTokenizer(), tmp_path / "store")
    assert TokenStore.open(tmp_path / "store").n_tokens == 5
    assert names(tmp_path) == {"store"}


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    assert TokenStore.build(documents(), ByteTokenizer(), tmp_path / "store").n_documents == 3


def test_two_builds_of_one_folder_do_not_mix(tmp_path: Path) -> None:
    def nested() -> Iterator[Document]:
        yield from documents()
        with pytest.raises(RunError, match=r"another process is writing .*\.store\.part\. Wait until it is done"):
            TokenStore.build(documents(["other"]), ByteTokenizer(), tmp_path / "store")

    TokenStore.build(nested(), ByteTokenizer(), tmp_path / "store").verify()
    assert TokenStore.open(tmp_path / "store").n_tokens == 26


def test_a_lock_that_fails_otherwise_is_no_other_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr("fcntl.flock", fail)
    with pytest.raises(OSError, match="input/output error"):
        TokenStore.build(documents(), ByteTokenizer(), tmp_path / "store")


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def stopped() -> Iterator[Document]:
        yield from documents()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TokenStore.build(stopped(), ByteTokenizer(), tmp_path / "store")
    assert names(tmp_path) == set()


KILLED = """
import os, signal, sys
from everlong.data import ByteTokenizer, Document, TokenStore

def documents():
    yield Document("long", ("x" * 1_000_000 for _ in range(3)))
    os.kill(os.getpid(), signal.SIGKILL)

TokenStore.build(documents(), ByteTokenizer(), sys.argv[1])
"""


def test_a_killed_build_leaves_no_store_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "store")], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert names(tmp_path) == {".store.part"}
    TokenStore.build(documents(), ByteTokenizer(), tmp_path / "store").verify()
    assert names(tmp_path) == {"store"}


@pytest.mark.parametrize("sync", [1, 2, 3, 6])
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: int) -> None:
    left = iter(range(sync))
    real = os.fsync

    def full(handle: int) -> None:
        if next(left) == sync - 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"the disk is full: .*Free some space or choose another folder"):
        TokenStore.build(documents(), ByteTokenizer(), tmp_path / "store")
    assert names(tmp_path) == set()


def test_what_is_no_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(DamagedFile, match=r"cannot read .*store\.json: No such file"):
        TokenStore.open(tmp_path)
    write_sealed(tmp_path / "store.json", {"n_tokens": "3"})
    with pytest.raises(DamagedFile, match=r"store\.json does not describe a token store \(.*build the store again"):
        TokenStore.open(tmp_path)


@pytest.mark.parametrize("name", ["tokens.bin", "documents.bin"])
def test_a_missing_cut_or_long_file_is_named(make_store: StoreMaker, name: str) -> None:
    folder = make_store(TEXTS).folder
    path = folder / name
    whole = path.read_bytes()
    for data in (whole[:-1], whole + b"x", b""):
        path.write_bytes(data)
        wording = rf"{name} is damaged: it has {len(data)} bytes instead of {len(whole)}\. .*build the store again"
        with pytest.raises(DamagedFile, match=wording):
            TokenStore.open(folder)
    path.unlink()
    with pytest.raises(DamagedFile, match=rf"{name} is missing\. Remove the folder"):
        TokenStore.open(folder)


@pytest.mark.parametrize("name", ["tokens.bin", "documents.bin"])
def test_a_flipped_byte_is_found_by_verify(make_store: StoreMaker, name: str) -> None:
    path = make_store(TEXTS).folder / name
    data = bytearray(path.read_bytes())
    data[3] ^= 4
    path.write_bytes(data)
    with pytest.raises(DamagedFile, match=rf"{name} is damaged: its contents do not match their checksum"):
        TokenStore.open(path.parent).verify()


def test_altered_facts_are_noticed_on_opening(make_store: StoreMaker) -> None:
    path = make_store(TEXTS).folder / "store.json"
    assert read_sealed(path)["n_bytes"] == 26
    path.write_text(path.read_text().replace('"n_bytes": 26', '"n_bytes": 27'))
    with pytest.raises(DamagedFile, match=r"store\.json is damaged"):
        TokenStore.open(path.parent)
