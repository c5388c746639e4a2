"""Pairs of texts: read from both formats, refused by line, kept as examples and put side by side."""

import gzip
import json
from pathlib import Path

import pytest
import torch

from everlong.data import BPETokenizer, ByteTokenizer
from everlong.data.pair_store import build_pairs, collate_pairs, edge_token
from everlong.data.pairs import Pair, read_pairs
from everlong.errors import DataError
from everlong.shapes import IGNORE

PAIRS = [Pair("A dog.", "Ein Hund."), Pair("你好。", "Hallo."), Pair("  two  words", "zwei Wörter")]


def json_file(path: Path, pairs: list[Pair] = PAIRS) -> Path:
    lines = [json.dumps({"source": pair.source, "target": pair.target, "id": 7}) for pair in pairs]
    path.write_text("\n".join(["", *lines, ""]), encoding="utf-8")
    return path


def test_json_lines_and_two_files_say_the_same(tmp_path: Path) -> None:
    assert list(read_pairs([json_file(tmp_path / "a.jsonl")])) == PAIRS
    packed = tmp_path / "b.jsonl.gz"
    packed.write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    assert list(read_pairs([packed, tmp_path / "a.jsonl"])) == PAIRS * 2
    sources, targets = tmp_path / "train.en", tmp_path / "train.de"
    sources.write_text("\n".join([PAIRS[0].source, "", *(pair.source for pair in PAIRS[1:])]) + "\n", encoding="utf-8")
    # Line ends of another system, none at the end, and lines that are empty on both sides.
    targets.write_bytes("\r\n".join([PAIRS[0].target, " ", *(pair.target for pair in PAIRS[1:])]).encode())
    assert list(read_pairs([sources, targets])) == PAIRS


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"a.jsonl:2 is not JSON \(.*\)\. Each line must be one object such as .*source.*target"),
        ("[1]", r"a.jsonl:2 is not a JSON object"),
        ('{"source": "a"}', r'a.jsonl:2 has no string "target"'),
        ('{"source": 1, "target": "b"}', r'a.jsonl:2 has no string "source"'),
        ('{"source": " ", "target": "b"}', r"a.jsonl:2 has an empty source\. Leave the pair out, or translate it"),
        ('{"source": "a", "target": ""}', r"a.jsonl:2 has an empty target"),
        ('{"source": "a\\nb", "target": "c"}', r"a.jsonl:2 has a source of several lines\. Write it as one line"),
        ('{"source": "a", "target": "b\\r\\nc"}', r"a.jsonl:2 has a target of several lines"),
        (
            '{"source": "\\ud800", "target": "b"}',
            r"has half a character \(a lone surrogate, character 0 of its source",
        ),
    ],
)
def test_lines_that_are_no_pairs(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"source": "a", "target": "b"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=message):
        list(read_pairs([path]))


def test_files_that_do_not_go_together(tmp_path: Path) -> None:
    one, two = tmp_path / "one.en", tmp_path / "two.de"
    one.write_text("a\nb\n")
    two.write_text("A\n")
    with pytest.raises(DataError, match=r"two.de has 1 lines and .*one.en has more, so which lines belong together is"):
        list(read_pairs([one, two]))
    with pytest.raises(DataError, match=r"two.de has 1 lines and .*one.en has more"):
        list(read_pairs([two, one]))
    two.write_text("A\n\n")
    (tmp_path / "none.jsonl").write_text("\n")
    with pytest.raises(DataError, match=r"none.jsonl has no pairs in it\. Give JSON lines such as"):
        list(read_pairs([tmp_path / "none.jsonl"]))
    (tmp_path / "none").write_text("\n\n")
    with pytest.raises(DataError, match=r"none and .*none have no pairs in them\. Give JSON lines"):
        list(read_pairs([tmp_path / "none", tmp_path / "none"]))
    with pytest.raises(DataError, match=r"line 2 of .*one.en and .*two.de has an empty target"):
        list(read_pairs([one, two]))
    for paths in ([one], [one, json_file(tmp_path / "a.jsonl")], [one, two, one], []):
        with pytest.raises(DataError, match=r"pairs cannot be read from .*\. Give JSON lines such as"):
            read_pairs(paths)
    with pytest.raises(DataError, match=r"there is no file .*three\. Give JSON lines"):
        read_pairs([tmp_path / "three"])
    two.write_bytes(b"A\n\xff\n")
    with pytest.raises(DataError, match=r"two.de is not valid UTF-8 at byte 2, line 2"):
        list(read_pairs([one, two]))


def test_what_is_kept_and_counted(tmp_path: Path) -> None:
    store = build_pairs(PAIRS, ByteTokenizer(), tmp_path / "pairs")
    assert [bytes(store[n]["source"].tolist()).decode() for n in range(3)] == [pair.source for pair in PAIRS]
    n_bytes = sum(len(pair.target.encode()) + 1 for pair in PAIRS)
    assert store.about == {"target_tokens": n_bytes, "target_bytes": n_bytes}
    tokenizer = BPETokenizer.train([" ".join(pair.target for pair in PAIRS)] * 9, vocab_size=280)
    other = build_pairs(PAIRS, tokenizer, tmp_path / "bpe")
    assert other.about["target_bytes"] == n_bytes
    assert other.about["target_tokens"] == sum(len(tokenizer.encode(pair.target)) + 1 for pair in PAIRS) < n_bytes
    with pytest.raises(DataError, match="there is nothing in source, target"):
        build_pairs([], tokenizer, tmp_path / "none")


def test_side_by_side(tmp_path: Path) -> None:
    store = build_pairs([Pair("abc", "x"), Pair("d", "yz")], ByteTokenizer(), tmp_path / "pairs")
    edge = edge_token(ByteTokenizer())
    batch = collate_pairs([store[0], store[1]], edge=edge).to("cpu")
    assert batch.source.tolist() == [[97, 98, 99], [100, 0, 0]]
    assert batch.source_lengths.tolist() == [3, 1]
    assert batch.tokens.tolist() == [[10, 120, 0], [10, 121, 122]]
    assert batch.targets.tolist() == [[120, 10, IGNORE], [121, 122, 10]]
    assert batch.lengths.tolist() == [2, 3]
    assert (batch.n_targets, batch.n_tokens) == (5, 9)
    assert int((batch.targets != IGNORE).sum()) == batch.n_targets
    assert batch.tokens.dtype == torch.int64
