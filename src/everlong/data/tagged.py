"""Texts whose words have tags, out of JSON lines or of columns as in the CoNLL tasks.

    {"tokens": ["EU", "rejects"], "tags": ["B-ORG", "O"]}       a text a line, in a file that ends with .jsonl

    -DOCSTART- -X- O O                                          any other file: the word first, the tag last, parted by
                                                                TABs or else by spaces; blank lines part sentences
    EU NNP I-NP I-ORG
    rejects VBZ I-VP O

Where each word of a file is one character with its number in a longer word behind it (科0 技1), as in Weibo NER, the
numbers are left out.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, cast, final

from pydantic import Field

from everlong.config import Config
from everlong.data.pairs import text_lines
from everlong.data.records import Record, read_records
from everlong.data.tags import Entity, read_entities
from everlong.data.text import inner_suffix, text_files
from everlong.data.utf8 import BOM
from everlong.errors import DataError

NUMBERED = re.compile(r"(.|\ufffd+)\d+")
"""A character, maybe one that was lost, and its number."""
NEW_DOCUMENT = "-DOCSTART-"


class TagOptions(Config):
    """How tagged texts are read."""

    unit: Literal["sentence", "document"] = "sentence"
    """What is read together: a sentence, or all of those between two -DOCSTART- lines. JSON lines are texts as they
    are, and this says which of the two they are."""
    width: int = Field(default=0, ge=0)
    """Tokens that are read at once, symbols around them included; 0 for the whole text. Windows of a longer one overlap
    by a quarter."""


@final
@dataclass(frozen=True)
class TaggedText:
    """The words of a text, where among them its sentences begin, and its entities."""

    place: str
    """``file:line``."""
    words: list[str]
    begins: list[int]
    entities: list[Entity]


@final
@dataclass(frozen=True)
class _Sentence:
    document: int
    place: str
    words: list[str]
    tags: list[str]


def read_tagged(paths: Iterable[Path], options: TagOptions) -> Iterator[TaggedText]:
    """The tagged texts of files, or of the text files of folders, in order.

    Raises:
        DataError: a file is missing, empty or cannot be read; a line has no word or no tag; tags and words are not
            equally many, or tags do not fit together; or documents are asked for and not marked.
    """
    for path in paths:
        empty = True
        for file in text_files(path):
            for text in _from_json(file) if inner_suffix(file) == ".jsonl" else _from_columns(file, options):
                empty = False
                yield text
        if empty:
            raise DataError(
                f"{path} has no tagged words in it. Give JSON lines (.jsonl), or columns of words and tags."
            )


def _from_json(file: Path) -> Iterator[TaggedText]:
    for record in read_records(file, example='{"tokens": ["EU", "rejects"], "tags": ["B-ORG", "O"]}'):
        words, tags = _strings(record, "tokens"), _strings(record, "tags")
        if len(words) != len(tags):
            raise DataError(
                f"{record.place} has {len(words)} tokens and {len(tags)} tags, so which belong together is not known. "
                "Give each token one tag."
            )
        if not words:
            raise DataError(f"{record.place} has no tokens. Leave it out.")
        if not all(word.strip() for word in words):
            raise DataError(f"{record.place} has a token of nothing but white space. Leave it and its tag out.")
        yield TaggedText(record.place, words, [0], read_entities(tags, record.place))


def _strings(record: Record, name: str) -> list[str]:
    found: Any = record.fields.get(name)
    if not isinstance(found, list) or not all(isinstance(one, str) for one in cast("list[Any]", found)):
        raise DataError(f'{record.place} has no "{name}" that is a list of strings. {record.remedy}')
    return cast("list[str]", found)


def _from_columns(file: Path, options: TagOptions) -> Iterator[TaggedText]:
    numbered = all(NUMBERED.fullmatch(word) for sentence in _sentences(file) for word in sentence.words)
    sentences = _numbers_left_out(_sentences(file)) if numbered else _sentences(file)
    if options.unit == "sentence":
        for one in sentences:
            yield TaggedText(one.place, one.words, [0], read_entities(one.tags, one.place))
        return
    for document, those in groupby(sentences, key=lambda one: one.document):
        if not document:
            raise DataError(
                f"{file} has sentences before any {NEW_DOCUMENT} line, so where documents begin is not known. "
                "Leave task.unit=sentence."
            )
        yield _joined(list(those))


def _joined(sentences: list[_Sentence]) -> TaggedText:
    words: list[str] = []
    begins: list[int] = []
    entities: list[Entity] = []
    for one in sentences:
        at = len(words)
        begins.append(at)
        # Each sentence by itself: no entity goes on into the next.
        entities += (Entity(kind, at + a, at + b) for kind, a, b in read_entities(one.tags, one.place))
        words += one.words
    return TaggedText(sentences[0].place, words, begins, entities)


def _numbers_left_out(sentences: Iterator[_Sentence]) -> Iterator[_Sentence]:
    for one in sentences:
        yield _Sentence(one.document, one.place, [word[0] for word in one.words], one.tags)


def _sentences(file: Path) -> Iterator[_Sentence]:
    document = begins = 0
    words: list[str] = []
    tags: list[str] = []
    for number, line in enumerate(text_lines(file), start=1):
        line = line.removeprefix(BOM.decode()) if number == 1 else line
        starts = line.startswith(NEW_DOCUMENT)
        if (starts or not line.strip()) and words:
            yield _Sentence(document, f"{file}:{begins}", words, tags)
            words, tags = [], []
        document += starts
        if starts or not line.strip():
            continue
        begins = begins if words else number
        columns = line.split("\t") if "\t" in line else line.split()
        if len(columns) < 2 or not (columns[0].strip() and columns[-1].strip()):
            raise DataError(
                f"{file}:{number} is not a word and its tag. Each line must have a word first and its tag last, parted "
                "by a TAB or spaces; JSON lines end with .jsonl."
            )
        words.append(columns[0].strip())
        tags.append(columns[-1].strip())
    if words:
        yield _Sentence(document, f"{file}:{begins}", words, tags)
