"""Documents with summaries: what their lines must be, and how they become examples in sections."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from everlong.data import ByteTokenizer
from everlong.data.pair_store import build_pairs, collate_pairs
from everlong.data.pairs import Pair
from everlong.data.sectioned import SectionOptions
from everlong.data.summaries import read_summaries, read_unsummarized
from everlong.errors import DataError

BYTES = ByteTokenizer()


def lines(path: Path, *records: Any) -> Path:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return path


def test_documents_keep_their_lines_and_summaries_are_one(tmp_path: Path) -> None:
    lines(
        tmp_path / "a.jsonl", {"document": " a\n\nb ", "summary": " one\r\n two\n"}, {"document": "三", "summary": "三"}
    )
    asked = json.dumps({"query": " why? ", "document": "\n so.", "summary": "c", "id": 3}).encode()
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b"\n" + asked + b"\n\n"))
    expected = [Pair(" a\n\nb ", "one two"), Pair("三", "三"), Pair("why?\n\nso.", "c", "why?\n\n")]
    assert list(read_summaries([tmp_path])) == expected
    (tmp_path / "c.txt").write_text("plain\n", encoding="utf-8")
    named = [(Path(name).name, text) for name, text in read_unsummarized([tmp_path])]
    texts = [pair.source for pair in expected] + ["plain\n"]
    assert named == list(zip(["a.jsonl:1", "a.jsonl:2", "b.jsonl.gz:2", "c.txt"], texts, strict=True))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"summary": "b"}, r'a.jsonl:2 has no string "document"\. Each line must be one object such as'),
        ({"document": "a"}, r'a.jsonl:2 has no string "summary"'),
        ({"document": "a", "summary": ["b"]}, r'a.jsonl:2 has no string "summary"'),
        ({"document": "\n ", "summary": "b"}, r"a.jsonl:2 has an empty document\. Leave the line out, or fill it in"),
        ({"document": "a", "summary": "b", "query": ""}, r"a.jsonl:2 has an empty query"),
        ({"document": "\ud800", "summary": "b"}, r"half a character \(a lone surrogate, character 0 of its document"),
    ],
)
def test_lines_that_are_refused(tmp_path: Path, record: Any, message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"document": "a", "summary": "b"}\n' + json.dumps(record) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=message):
        list(read_summaries([path]))


def test_files_that_hold_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(DataError, match=r"empty.jsonl has no summaries in it\. Give JSON lines such as .*summary"):
        list(read_summaries([tmp_path / "empty.jsonl"]))
    (tmp_path / "blank.txt").write_text(" \n")
    with pytest.raises(DataError, match=r"blank.txt is white space and no document\. Leave it out"):
        list(read_unsummarized([tmp_path / "blank.txt"]))


def test_sources_in_sections(tmp_path: Path) -> None:
    pairs = [Pair("why?\n\nOne. Two", "x", "why?\n\n"), Pair("abcdefgh", "yz")]
    store = build_pairs(pairs, BYTES, tmp_path / "pairs", options=SectionOptions(longest=6, limit=13))
    assert [{name: values.tolist() for name, values in store[n].items() if name != "source"} for n in range(2)] == [
        {"sections": [0, 6, 11], "query": [6], "target": [120]},
        {"sections": [0, 6], "query": [0], "target": [121, 122]},
    ]
    assert bytes(store[0]["source"].tolist()) == b"why?\n\nOne. Tw"
    about = {
        "n_pairs": 2,
        "target_tokens": 5,
        "target_bytes": 5,
        "longest_target": 3,
        "source_tokens": 22,
        "left_out": 1,
    }
    assert {name: store.about[name] for name in about} == about
    sources = collate_pairs([store[0], store[1]], edge=10).to("cpu").sources
    assert sources.lengths.tolist() == [13, 8]
    assert sources.sections is not None
    assert sources.sections.nonzero().tolist() == [[0, 0], [0, 6], [0, 11], [1, 0], [1, 6]]
