"""What is held out, and what becomes of a run's stores."""

from pathlib import Path

import pytest

from everlong.cli.corpus import (
    Source,
    build_stores,
    held_out_begins,
    open_stores,
    parse_tokenizer,
    text_between,
)
from everlong.data import ByteTokenizer, Document, TokenStore, read_documents
from everlong.errors import ConfigError, RunError


def documents(*texts: str) -> list[Document]:
    return [Document(str(n), text) for n, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("texts", "begin"),
    [
        (["a" * 100], 95),
        (["a" * 50, "b" * 50], 95),
        (["ab"] * 20, 38),
        (["ab"] * 59, 114),
        (["ab"] * 19 + ["c" * 1000], 38),
        (["a" * 39], None),
        (["abc"], None),
    ],
)
def test_the_last_twentieth_of_documents_or_text_is_held_out(texts: list[str], begin: int | None) -> None:
    assert held_out_begins(documents(*texts)) == begin


def test_text_is_cut_across_documents_and_pieces() -> None:
    given = [Document("a", ["ab", "cd", ""]), Document("b", ["ef"]), Document("c", "gh")]
    parts = {(0, 3): ["abc"], (3, 5): ["d", "e"], (4, None): ["", "ef", "gh"], (5, 6): ["", "f"]}
    for (begin, end), expected in parts.items():
        assert [document.text for document in text_between(given, begin, end)] == expected


def test_nothing_is_lost_or_repeated(tmp_path: Path) -> None:
    text = "船来了。The ship came.\n" * 50
    (tmp_path / "t.txt").write_text(text, encoding="utf-8")
    source = Source(data=(tmp_path / "t.txt",), valid=(), separator=None, tokenizer="byte")
    build_stores(source, tmp_path / "run", read_documents)
    corpus = open_stores(tmp_path / "run")
    assert corpus.valid is not None
    whole = bytes(corpus.train.document(0).tolist() + corpus.valid.document(0).tolist())
    assert whole.decode() == text


def test_a_tokenizer_never_sees_the_held_out_text(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("aa" * 950 + "zz" * 50)
    source = Source(data=(tmp_path / "t.txt",), valid=(), separator=None, tokenizer="bpe:260")
    build_stores(source, tmp_path / "run", read_documents)
    tokenizer = open_stores(tmp_path / "run").tokenizer
    assert len(tokenizer.encode("a" * 8)) < 8
    assert len(tokenizer.encode("z" * 8)) == 8


def test_stores_are_kept_for_the_same_text_and_refused_for_other(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("text " * 100)
    source = Source(data=(tmp_path / "t.txt",), valid=(), separator=None, tokenizer="byte")
    build_stores(source, tmp_path / "run", read_documents)
    before = (tmp_path / "run" / "store" / "tokens.bin").stat().st_mtime_ns
    build_stores(source, tmp_path / "run", read_documents)
    assert (tmp_path / "run" / "store" / "tokens.bin").stat().st_mtime_ns == before
    (tmp_path / "t.txt").write_text("other text " * 100)
    with pytest.raises(RunError, match="was built from other text"):
        build_stores(source, tmp_path / "run", read_documents)
    assert TokenStore.open(tmp_path / "run" / "store").n_bytes == 475


def test_a_folder_is_its_files(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("a" * 60)
    source = Source(data=(tmp_path / "in",), valid=(), separator=None, tokenizer="byte")
    before = source.facts()
    (tmp_path / "in" / "b.txt").write_text("b" * 60)
    assert source.facts() != before


@pytest.mark.parametrize("name", ["", "bytes", "bpe", "bpe:", "bpe:x", "bpe:256", "bpe:-5", "byte:3"])
def test_tokenizers_are_bytes_or_pairs(name: str) -> None:
    with pytest.raises(ConfigError, match=r"is not known\. Give byte, or bpe:"):
        parse_tokenizer(name)
    assert parse_tokenizer("byte") is None
    assert parse_tokenizer("bpe:8000") == 8000


def test_a_run_made_elsewhere_has_its_tokenizer_beside_its_stores(tmp_path: Path) -> None:
    TokenStore.build(documents("a run of python's own"), ByteTokenizer(), tmp_path / "store")
    ByteTokenizer().save(tmp_path)
    corpus = open_stores(tmp_path)
    assert (corpus.tokenizer.name, corpus.valid) == ("byte", None)
