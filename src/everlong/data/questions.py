"""Questions about texts, with answers that stand in them: JSON lines, or a file in SQuAD's format.

    {"context": "...", "question": "...", "answers": ["..."]}                               one a line, in a .jsonl file
    {"context": "...", "question": "...", "answers": [{"text": "...", "answer_start": 3}]}
    {"data": [{"paragraphs": [{"context": "...", "qas": [{"question": ..., "answers": ...}]}]}]}

The last is SQuAD's (Rajpurkar et al., 2016; 2018 with ``is_impossible``), also that of CMRC, DRCD, XQuAD and COVID-QA.
Several answers are those of several people; none says that the text does not answer the question. `answer_start`
counts characters. Published files are wrong about it here and there, so an answer is searched around its place. CMRC
writes -1 where an answer is in other words than the text: it counts when answers are measured, and is not learned.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, final

from everlong.data.records import Record, read_records
from everlong.data.text import inner_suffix, text_files
from everlong.data.utf8 import FileText
from everlong.errors import DataError

NEARBY = 100
"""Characters around its place in which an answer is searched."""

EXAMPLE = '{"context": "...", "question": "...", "answers": ["..."]}'
SQUAD = 'Give JSON lines (.jsonl) or a file in SQuAD\'s format: {"data": [{"paragraphs": [{"context", "qas"}]}]}.'


@final
@dataclass(frozen=True)
class Answer:
    """What somebody answered, and where in the text that stands, from ``begin`` to ``end``, the latter left out."""

    text: str
    place: tuple[int, int] | None
    """``None`` where it stands nowhere."""


@final
@dataclass(frozen=True)
class Question:
    """A question, the text it is asked about, its answers, and where all that comes from."""

    place: str
    context: str
    question: str
    answers: tuple[Answer, ...]
    """None where the text has no answer."""


def read_questions(paths: Iterable[Path]) -> Iterator[Question]:
    """The questions of files, or of folders of JSON lines, in order.

    Raises:
        DataError: a file is missing, empty, cannot be read or is of another format; a question has no text or an empty
            one, or is no string; or none of its answers stands in the text.
    """
    for path in paths:
        empty = True
        for file in text_files(path):
            for question in _from_lines(file) if inner_suffix(file) == ".jsonl" else _from_squad(file):
                empty = False
                yield question
        if empty:
            raise DataError(f"{path} has no questions in it. Give a context, a question and its answers.")


def _from_lines(file: Path) -> Iterator[Question]:
    for record in read_records(file, example=EXAMPLE):
        found = _question(record, _context(record))
        if not found.question.strip():
            raise DataError(f"{found.place} has an empty question. Leave it out.")
        yield found


def _from_squad(file: Path) -> Iterator[Question]:
    """Two questions of CMRC's are empty. They stay, since its figures count them."""
    try:
        whole: object = json.loads("".join(FileText(file)))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is not JSON ({error}). {SQUAD}") from error
    if not isinstance(whole, dict):
        raise DataError(f"{file} is not a JSON object. {SQUAD}")
    number = 0
    for article in _parts(Record(str(file), cast("dict[str, Any]", whole), SQUAD), "data"):
        for paragraph in _parts(article, "paragraphs"):
            context = _context(paragraph)
            for question in _parts(paragraph, "qas"):
                number += 1
                named = Record(f"{file}, question {number}", question.fields, SQUAD)
                yield _question(named, context)


def _parts(record: Record, name: str) -> Iterator[Record]:
    for number, part in enumerate(_list(record, name), start=1):
        place = f"{record.place}, {name} {number}"
        if not isinstance(part, dict):
            raise DataError(f"{place} is no object. {record.remedy}")
        yield Record(place, cast("dict[str, Any]", part), record.remedy)


def _list(record: Record, name: str) -> list[Any]:
    found = record.fields.get(name)
    if not isinstance(found, list):
        raise DataError(f'{record.place} has no list "{name}". {record.remedy}')
    return cast("list[Any]", found)


def _context(record: Record) -> str:
    context = record.text("context")
    if not context.strip():
        raise DataError(f"{record.place} has an empty context, in which no answer can stand. Leave it out.")
    return context


def _question(record: Record, context: str) -> Question:
    possible = record.fields.get("is_impossible") is not True
    answers = tuple(_answer(one, record, context) for one in _list(record, "answers")) if possible else ()
    if answers and not any(answer.place for answer in answers):
        raise DataError(f"{record.place} has answers, and none of them stands in its context. Leave it out.")
    return Question(record.place, context, record.text("question"), answers)


def _answer(given: object, record: Record, context: str) -> Answer:
    match given:
        case {"text": str() as text, "answer_start": int() as start}:
            pass
        case {"text": str() as text} | (str() as text):
            start = None
        case _:
            raise DataError(f'{record.place} has an answer without a "text". {record.remedy}')
    core = text.strip()
    if not core:
        raise DataError(f"{record.place} has an empty answer. Leave it out; an empty list says that there is none.")
    if start == -1:
        return Answer(text, None)
    begin = context.find(core) if start is None else nearest(context, core, start + text.index(core))
    if begin < 0:
        where = "" if start is None else f" around character {start}"
        raise DataError(
            f"{record.place} has the answer {core[:60]!r}, which does not stand in its context{where}. "
            "Write it as the context has it."
        )
    return Answer(text, (begin, begin + len(core)))


def nearest(text: str, part: str, place: int) -> int:
    """Where `part` stands in a text, as near to `place` as may be and `NEARBY` at most; -1 if nowhere.

    >>> nearest("a rose is a rose", "rose", 9)
    12
    """
    begin, end = max(place - NEARBY, 0), max(place, 0) + NEARBY + len(part)
    after, before = text.find(part, max(place, 0), end), text.rfind(part, begin, max(place, 0) + len(part))
    return min((at for at in (before, after) if at >= 0), key=lambda at: abs(at - place), default=-1)
