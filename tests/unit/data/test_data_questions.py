"""Questions out of JSON lines and SQuAD's files, and answers that are not where they should be."""

import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from everlong.data.questions import NEARBY, Answer, Question, nearest, read_questions
from everlong.errors import DataError

CONTEXT = "Ann is in Rome. 张三在北京，李四在 Rome。"


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


def asked(**changes: Any) -> dict[str, Any]:
    return {"context": CONTEXT, "question": "Where?", "answers": ["Rome"], **changes}


def squad(*questions: dict[str, Any], context: str = CONTEXT) -> dict[str, Any]:
    return {"version": "v2.0", "data": [{"title": "t", "paragraphs": [{"context": context, "qas": list(questions)}]}]}


def test_json_lines_plain_and_compressed(tmp_path: Path) -> None:
    rows = [
        asked(answers=["Rome", " 北京 "]),
        asked(answers=[{"text": "Rome", "answer_start": CONTEXT.rindex("Rome")}, {"text": "Ann"}]),
        asked(answers=[]),
    ]
    plain = lines(tmp_path / "a.jsonl", *rows)
    packed = tmp_path / "b.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    for path in (plain, packed):
        first, second, third = read_questions([path])
        assert first == Question(f"{path}:1", CONTEXT, "Where?", (Answer("Rome", (10, 14)), Answer(" 北京 ", (19, 21))))
        assert [answer.place for answer in second.answers] == [(26, 30), (0, 3)]
        assert third.answers == ()


def test_squad_of_both_versions(tmp_path: Path) -> None:
    path = tmp_path / "dev.json.xz"
    two = {"question": "Who?", "answers": [{"text": "Ann", "answer_start": 0}], "is_impossible": False}
    none = {"question": "Why?", "answers": [], "is_impossible": True, "plausible_answers": [{"text": "Ann"}]}
    answers = [{"text": "不在的话", "answer_start": -1}, {"text": "Rome", "answer_start": 9}]
    wordless = {"question": "", "answers": answers}
    path.write_bytes(lzma.compress(json.dumps(squad(two, none, wordless)).encode()))
    first, second, third = read_questions([path])
    assert (first.place, first.question) == (f"{path}, question 1", "Who?")
    assert first.answers == (Answer("Ann", (0, 3)),)
    assert second.answers == ()
    assert third.answers == (Answer("不在的话", None), Answer("Rome", (10, 14)))


def test_an_answer_is_searched_around_its_place() -> None:
    text = "a" + "." * NEARBY + "a" + "." * (NEARBY + 2) + "a"
    assert nearest(text, "a", 0) == 0
    assert nearest(text, "a", 60) == NEARBY + 1
    assert nearest(text, "a", 40) == 0
    assert nearest(text, "a", -3) == 0
    assert nearest(text, "a", len(text) + 2) == len(text) - 1
    assert nearest(text + "." * 200, "a", len(text) + NEARBY) == -1
    assert nearest("....aXa....", "a", 5) == 4
    assert nearest("aaaa", "aa", 1) == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (asked(context=" \n"), r"a\.jsonl:1 has an empty context, in which no answer can stand\. Leave it out"),
        (asked(context=3), r'a\.jsonl:1 has no string "context"'),
        (asked(question=None), r'a\.jsonl:1 has no string "question"'),
        (asked(question=" "), r"a\.jsonl:1 has an empty question\. Leave it out"),
        (asked(answers="Rome"), r'a\.jsonl:1 has no list "answers"'),
        (asked(answers=[3]), r'a\.jsonl:1 has an answer without a "text"'),
        (asked(answers=[" "]), r"a\.jsonl:1 has an empty answer\. Leave it out; an empty list says that there is none"),
        (asked(answers=["Oslo"]), r"a\.jsonl:1 has the answer 'Oslo', which does not stand in its context\. Write"),
        (
            asked(answers=[{"text": "Rome", "answer_start": 400}]),
            r"has the answer 'Rome', which does not stand in its context around character 400\. Write it as",
        ),
        (
            asked(answers=[{"text": "Oslo", "answer_start": -1}]),
            r"has answers, and none of them stands in its context\. Leave it out",
        ),
    ],
)
def test_lines_that_are_refused(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        list(read_questions([lines(tmp_path / "a.jsonl", row)]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"data": [', r"dev\.json is not JSON \(.*\)\. Give JSON lines \(\.jsonl\) or a file in SQuAD's format"),
        ("[1]", r"dev\.json is not a JSON object\. Give JSON lines"),
        ('{"context": "a"}', r'dev\.json has no list "data"\. Give JSON lines'),
        ('{"data": [3]}', r"dev\.json, data 1 is no object\. Give JSON lines"),
        ('{"data": []}', r"dev\.json has no questions in it\. Give a context, a question and its answers"),
    ],
)
def test_files_that_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "dev.json").write_text(text)
    with pytest.raises(DataError, match=message):
        list(read_questions([tmp_path / "dev.json"]))
    with pytest.raises(DataError, match="there is no file or folder"):
        list(read_questions([tmp_path / "missing.json"]))
