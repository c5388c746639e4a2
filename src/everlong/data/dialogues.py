"""Dialogues: JSON lines of turns in, documents out that a model reads and writes as a stream.

    Anna: Where is the ship?
    Bob: At sea.
                                                   an empty line: another session of the same conversation
    Anna: Is it back?

A conversation is one document, so memory is carried through all its turns and sessions and ends with it. A turn is a
line: the speaker's name and a colon, which are its mark, then what is said; white space in a text is one space each.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

from everlong.data.bytelevel import utf8
from everlong.data.parts import Parts
from everlong.data.records import Record, read_records
from everlong.data.text import Document, text_files
from everlong.errors import DataError

BETWEEN_SESSIONS = "\n"
"""What parts the last turn of a session from the first of the next: an empty line."""

EXAMPLE = '{"turns": [{"speaker": "A", "text": "..."}, {"speaker": "B", "text": "..."}]}'


def mark(speaker: str) -> str:
    """What stands before a turn.

    >>> mark("Anna")
    'Anna:'
    """
    return f"{speaker}:"


def turn(speaker: str, text: str) -> str:
    r"""A turn as a line.

    >>> turn("Anna", "Where is\nthe ship?")
    'Anna: Where is the ship?\n'
    """
    return f"{mark(speaker)} {' '.join(text.split())}\n"


def read_dialogues(paths: Iterable[str | os.PathLike[str]]) -> Iterator[Document]:
    """The conversations of files of JSON lines, or of folders of such, in order, one document each.

    A line has ``turns``, or ``sessions`` that have them. A turn is ``{"speaker": ..., "text": ...}`` or a list that
    begins with these two; what else a line or a turn has is passed over.

    Raises:
        DataError: a file is missing, empty or cannot be read; or a line has no turns, a turn has no speaker or no text,
            or a speaker's name would be no mark.
    """
    for given in map(Path, paths):
        empty = True
        for file in text_files(given):
            for record in read_records(file, example=EXAMPLE):
                empty = False
                yield Document(record.place, BETWEEN_SESSIONS.join(map("".join, _sessions(record))))
        if empty:
            raise DataError(f"{given} has no dialogues in it. Give JSON lines such as {EXAMPLE}.")


def turn_parts(text: str) -> Parts:
    """The turns of a dialogue's text. Predicted is what stands after the marks, to the end of the line."""
    begins, counted = list[int](), list[tuple[int, int]]()
    for begin, line in _lines(text):
        begins.append(begin)
        counted.append(_said(begin, line))
    return Parts(begins, counted)


def session_parts(text: str) -> Parts:
    """The sessions of a dialogue's text. Predicted is the same as of its turns."""
    counted = [_said(begin, line) for begin, line in _lines(text)]
    ends = [end for begin, line in _lines(text) if text.startswith(BETWEEN_SESSIONS, end := begin + len(line))]
    return Parts([0, *(end + 1 for end in ends)], counted)


def speakers(text: str) -> list[str]:
    """The names in a dialogue's text, in the order in which they first speak."""
    return list(dict.fromkeys(line.partition(":")[0] for _, line in _lines(text)))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are turns, with their line feeds, and where they begin."""
    at = 0
    for line in text.split("\n"):
        if line:
            yield at, text[at : at + len(line) + 1]
        at += len(line) + 1


def _said(begin: int, line: str) -> tuple[int, int]:
    name, colon, _ = line.partition(":")
    return begin + len(name) + len(colon), begin + len(line)


def _sessions(record: Record) -> list[list[str]]:
    """The lines of every session."""
    if "sessions" not in record.fields:
        return [_turns(record.fields, record, record.place)]
    sessions: object = record.fields["sessions"]
    if not isinstance(sessions, list) or not sessions:
        raise DataError(f'{record.place} has "sessions" that are no list of sessions. {record.remedy}')
    found: list[list[str]] = []
    for number, session in enumerate(cast("list[object]", sessions), start=1):
        fields = cast("dict[str, Any]", session) if isinstance(session, dict) else {}
        found.append(_turns(fields, record, f"{record.place}, session {number},"))
    return found


def _turns(fields: dict[str, Any], record: Record, place: str) -> list[str]:
    turns: object = fields.get("turns")
    if not isinstance(turns, list) or not turns:
        raise DataError(f'{place} has no "turns" in it. {record.remedy}')
    return [
        _turn(said, f"turn {number} of {place.removesuffix(',')}", record.remedy)
        for number, said in enumerate(cast("list[object]", turns), start=1)
    ]


def _turn(said: object, place: str, remedy: str) -> str:
    if isinstance(said, dict):
        fields = cast("dict[str, Any]", said)
        speaker, text = fields.get("speaker"), fields.get("text")
    else:
        speaker, text, *_ = [*cast("list[Any]", said), None, None] if isinstance(said, list) else (None, None)
    if not isinstance(speaker, str) or not speaker.strip():
        raise DataError(f"{place} has no speaker. {remedy}")
    if not isinstance(text, str):
        raise DataError(f"{place} has no text. {remedy}")
    if not text.strip():
        raise DataError(f"{place} has an empty text, as if nobody spoke. Leave that turn out.")
    if ":" in speaker or "\n" in speaker:
        raise DataError(
            f"{place} has the speaker {speaker!r}; a name ends at its colon and stands in one line. "
            "Write the name without colons and line feeds."
        )
    try:
        utf8(speaker)
        utf8(text)
    except DataError as error:
        raise DataError(f"{place} holds half a character: {error}") from error
    return turn(speaker.strip(), text)
