"""Labelled texts: what their lines must be, and how they become tokens in sections."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.pretrained_folders import PAIRS, byte_pairs

from everlong.data import ByteTokenizer, PretrainedTokenizer
from everlong.data.labelled import (
    LabelledOptions,
    LabelledText,
    collate_texts,
    in_tokens,
    label_number,
    read_labelled,
)
from everlong.errors import DataError

BYTES = ByteTokenizer()


def lines(path: Path, *records: Any) -> Path:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return path


def test_texts_of_files_and_folders_plain_or_compressed(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", {"text": "one", "label": "x"}, {"text": "二", "label": 3, "more": []})
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b'\n{"text": "three", "label": "y"}\n\n'))
    found = [(text.text, text.label) for text in read_labelled([tmp_path])]
    assert found == [("one", "x"), ("二", "3"), ("three", "y")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"label": "x"}', r':1 has no string "text"\. Each line must be one object such as \{"text": "\.\.\."'),
        ('{"text": ["a"], "label": "x"}', r':1 has no string "text"'),
        ('{"text": " \\n", "label": "x"}', r":1 has an empty text, of which no label can be learned or told\. Leave"),
        ('{"text": "a"}', r':1 has no "label" that is a word or a whole number'),
        ('{"text": "a", "label": true}', r':1 has no "label" that is a word or a whole number'),
        ('{"text": "a", "label": 0.5}', r':1 has no "label" that is a word or a whole number'),
        ('{"text": "a", "label": ""}', r':1 has no "label" that is a word or a whole number'),
        ('{"text": "\\ud800", "label": "x"}', r"half a character \(a lone surrogate, character 0 of its text\)"),
        ("plain text", r":1 is not JSON"),
        ("[1]", r":1 is not a JSON object"),
        ("\n", r"a\.jsonl has no labelled texts in it\. Give JSON lines with a text and a label each"),
    ],
)
def test_what_is_no_labelled_text(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(line, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        list(read_labelled([tmp_path / "a.jsonl"]))


def test_mixed_encodings(tmp_path: Path) -> None:
    good, bad = ('{"text": "中文", "label": "x"}\n'.encode(kind) for kind in ("utf-8", "gb18030"))
    (tmp_path / "a.jsonl").write_bytes(good + bad)
    with pytest.raises(DataError, match=r"a\.jsonl is not valid UTF-8 at byte \d+, line 2 .*iconv -f GB18030"):
        list(read_labelled([tmp_path / "a.jsonl"]))


def test_a_label_that_was_not_learned() -> None:
    message = r"a:3 has the label 'sprot', which was not learned\. Did you mean 'sport'\? Labels are art, sport\."
    with pytest.raises(DataError, match=message):
        label_number(LabelledText("a:3", "text", "sprot"), ["art", "sport"])
    assert label_number(LabelledText("a:3", "text", "sport"), ["art", "sport"]) == 1


def test_sections_are_sentences_and_an_endless_one_is_cut() -> None:
    found = in_tokens("One. Two!", BYTES, LabelledOptions())
    assert (bytes(found.tokens), found.begins, found.left_out) == (b"One. Two!", [0, 5], 0)
    found = in_tokens("abcdefg. h", BYTES, LabelledOptions(longest=3))
    assert found.begins == [0, 3, 6, 9]
    found = in_tokens("One.\n\nTwo. Three", BYTES, LabelledOptions(unit="paragraph"))
    assert found.begins == [0, 6]


def test_a_limit_leaves_out_the_end_and_says_how_much() -> None:
    found = in_tokens("One. Two! Three?", BYTES, LabelledOptions(limit=7))
    assert (bytes(found.tokens), found.begins, found.left_out) == (b"One. Tw", [0, 5], 9)


def test_a_pretrained_tokenizer_has_its_symbols_around_a_text() -> None:
    rules = json.loads(byte_pairs().to_str())
    tokenizer = PretrainedTokenizer(rules, PAIRS)
    first, last = tokenizer.first, tokenizer.last
    text = tokenizer.encode("One. Two!")
    found = in_tokens("One. Two!", tokenizer, LabelledOptions())
    assert (found.tokens, found.begins, found.left_out) == ([first, *text, last], [0, 6], 0)
    assert tokenizer.decode(found.tokens[6:-1]) == "Two!"
    found = in_tokens("One. Two!", tokenizer, LabelledOptions(limit=7))
    assert (found.tokens, found.begins, found.left_out) == ([first, *text[:5], last], [0], 4)
    assert in_tokens("", tokenizer, LabelledOptions()).tokens == []
    with pytest.raises(DataError, match="limit=2 leaves no room for a text between the 2 symbols around it"):
        in_tokens("One.", tokenizer, LabelledOptions(limit=2))


def test_texts_side_by_side() -> None:
    examples = [
        {"tokens": np.array([5, 6, 7]), "sections": np.array([0, 2]), "label": np.array([1])},
        {"tokens": np.array([8]), "sections": np.array([0]), "label": np.array([0])},
    ]
    texts = collate_texts(examples).to("cpu")
    assert texts.tokens.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert texts.sections.tolist() == [[True, False, True], [True, False, False]]
    assert (texts.labels.tolist(), texts.n_targets, texts.n_tokens) == ([1, 0], 2, 4)
