"""Tagged words out of JSON lines and columns, in English and Chinese, and files that are refused."""

import json
from pathlib import Path

import pytest

from everlong.data.tagged import TaggedText, TagOptions, read_tagged
from everlong.data.tags import Entity
from everlong.errors import DataError

CONLL = """-DOCSTART- -X- O O

EU NNP I-NP I-ORG
rejects VBZ I-VP O

Peter NNP I-NP I-PER
Blackburn NNP I-NP I-PER
-DOCSTART- -X- O O

BRUSSELS NNP I-NP I-LOC
"""
DOCUMENTS = TagOptions(unit="document")


def read(folder: Path, content: str, options: TagOptions = TagOptions(), name: str = "a.conll") -> list[TaggedText]:  # noqa: B008
    (folder / name).write_text(content, encoding="utf-8")
    return list(read_tagged([folder / name], options))


def test_columns_by_sentence_and_by_document(tmp_path: Path) -> None:
    place = f"{tmp_path / 'a.conll'}:"
    assert read(tmp_path, CONLL) == [
        TaggedText(place + "3", ["EU", "rejects"], [0], [Entity("ORG", 0, 1)]),
        TaggedText(place + "6", ["Peter", "Blackburn"], [0], [Entity("PER", 0, 2)]),
        TaggedText(place + "10", ["BRUSSELS"], [0], [Entity("LOC", 0, 1)]),
    ]
    whole = [Entity("ORG", 0, 1), Entity("PER", 2, 4)]
    assert read(tmp_path, CONLL, DOCUMENTS) == [
        TaggedText(place + "3", ["EU", "rejects", "Peter", "Blackburn"], [0, 2], whole),
        TaggedText(place + "10", ["BRUSSELS"], [0], [Entity("LOC", 0, 1)]),
    ]


def test_no_entity_goes_on_into_the_next_sentence(tmp_path: Path) -> None:
    (text,) = read(tmp_path, "-DOCSTART- O\n\na I-PER\n\nb I-PER\n", DOCUMENTS)
    assert text.entities == [Entity("PER", 0, 1), Entity("PER", 1, 2)]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_marks_tabs_returns_and_lines_of_white_space(tmp_path: Path, end: str) -> None:
    (tmp_path / "a.conll").write_bytes(end.join(["\ufeffNew York\tB-location", "\t", "a\tO", ""]).encode())
    one, two = read_tagged([tmp_path / "a.conll"], TagOptions())
    assert (one.words, one.entities, two.words) == (["New York"], [Entity("location", 0, 1)], ["a"])


def test_chinese_characters_with_and_without_numbers(tmp_path: Path) -> None:
    numbered = read(tmp_path, "科0\tO\n李0\tB-PER.NAM\n开1\tI-PER.NAM\n复12\tI-PER.NAM\n\ufffd\ufffd0\tO\n")
    assert numbered[0].words == ["科", "李", "开", "复", "\ufffd"]
    assert numbered[0].entities == [Entity("PER.NAM", 1, 4)]
    (plain,) = read(tmp_path, "在 O\n1 O\n9 O\n郑 B-LOC\n州 E-LOC\n")
    assert (plain.words, plain.entities) == (["在", "1", "9", "郑", "州"], [Entity("LOC", 3, 5)])
    (numbers,) = read(tmp_path, "10 O\n12 O\nx O\n")
    assert numbers.words == ["10", "12", "x"]


def test_json_lines_are_texts_as_they_are(tmp_path: Path) -> None:
    row = {"tokens": ["EU", "rejects"], "tags": ["B-ORG", "O"], "id": 7}
    for options in (TagOptions(), DOCUMENTS):
        (text,) = read(tmp_path, json.dumps(row) + "\n\n", options, "a.jsonl")
        assert text == TaggedText(f"{tmp_path / 'a.jsonl'}:1", ["EU", "rejects"], [0], [Entity("ORG", 0, 1)])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            '{"tokens": ["a"]}',
            r'a\.jsonl:1 has no "tags" that is a list of strings\. Each line must be one object such',
        ),
        ('{"tokens": ["a", 7], "tags": []}', r'a\.jsonl:1 has no "tokens" that is a list of strings\.'),
        (
            '{"tokens": ["a", "b"], "tags": ["O"]}',
            r"a\.jsonl:1 has 2 tokens and 1 tags, so which belong together is not",
        ),
        ('{"tokens": [], "tags": []}', r"a\.jsonl:1 has no tokens\. Leave it out\."),
        ('{"tokens": ["a", " "], "tags": ["O", "O"]}', r"a\.jsonl:1 has a token of nothing but white space\. Leave it"),
        ('{"tokens": ["a"], "tags": ["PER"]}', r"a\.jsonl:1, word 1, has 'PER' for a tag"),
    ],
)
def test_json_that_is_refused(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, line, name="a.jsonl")


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (
            "a O\nword\n",
            TagOptions(),
            r"a\.conll:2 is not a word and its tag\. Each line must have a word first and its",
        ),
        ("a\t\n", TagOptions(), r"a\.conll:1 is not a word and its tag"),
        ("a O\nb PERSON\n", TagOptions(), r"a\.conll:1, word 2, has 'PERSON' for a tag"),
        ("\n\n-DOCSTART- O\n", TagOptions(), r"a\.conll has no tagged words in it\. Give JSON lines \(\.jsonl\), or"),
        ("a O\n", DOCUMENTS, r"a\.conll has sentences before any -DOCSTART- line, so where documents begin is not"),
    ],
)
def test_columns_that_are_refused(tmp_path: Path, content: str, options: TagOptions, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, content, options)
