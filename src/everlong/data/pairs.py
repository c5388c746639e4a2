"""Texts that say the same in two languages: read from JSON lines, or from two files whose lines go together.

    {"source": "A dog runs.", "target": "Ein Hund rennt."}        one pair a line, in a file that ends with .jsonl

A text of a pair is one line: a line feed stands before the target and after it, and nowhere else.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import final

from everlong.data.records import read_records
from everlong.data.source import read_lines
from everlong.data.text import inner_suffix
from everlong.data.utf8 import decode
from everlong.errors import DataError

REMEDY = 'Give JSON lines such as {"source": "...", "target": "..."} (.jsonl), or two text files, the source\'s first.'


@final
@dataclass(frozen=True)
class Pair:
    """A text and its translation."""

    source: str
    target: str


def read_pairs(paths: Sequence[Path]) -> Iterator[Pair]:
    """The pairs of files of JSON lines, one file after the other, or of two text files, line by line.

    Empty lines are passed over, those that are empty in both text files too.

    Raises:
        DataError: at once, where the files are neither; while reading, for a file that is empty, damaged or not UTF-8,
            for a line that is no pair, and for text files of different length.
    """
    for path in paths:
        if not path.is_file():
            raise DataError(f"there is no file {path}. {REMEDY}")
    is_json = [inner_suffix(path) == ".jsonl" for path in paths]
    if all(is_json) and paths:
        return _from_json(paths)
    if any(is_json) or len(paths) != 2:
        raise DataError(f"pairs cannot be read from {', '.join(map(str, paths)) or 'nothing'}. {REMEDY}")
    return _side_by_side(*paths)


def text_lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 file, without their ends; only a line feed ends a line, with a return before it or not.

    Raises:
        DataError: the file cannot be read, is damaged, or is not UTF-8.
    """
    offset = 0
    for number, data in enumerate(read_lines(path), start=1):
        line, _ = decode(data, path, offset=offset, line=number, final=True)
        offset += len(data)
        yield line.removesuffix("\n").removesuffix("\r")


def _from_json(paths: Sequence[Path]) -> Iterator[Pair]:
    for path in paths:
        empty = True
        for record in read_records(path, example='{"source": "...", "target": "..."}'):
            empty = False
            yield _checked(record.text("source"), record.text("target"), record.place)
        if empty:
            raise DataError(f"{path} has no pairs in it. {REMEDY}")


def _side_by_side(sources: Path, targets: Path) -> Iterator[Pair]:
    empty = True
    for number, (source, target) in enumerate(zip_longest(text_lines(sources), text_lines(targets)), start=1):
        if source is None or target is None:
            short, long = (sources, targets) if source is None else (targets, sources)
            raise DataError(
                f"{short} has {number - 1} lines and {long} has more, so which lines belong together is not known. "
                "Give two files with a line for each line."
            )
        if source.strip() or target.strip():
            empty = False
            yield _checked(source, target, f"line {number} of {sources} and {targets}")
    if empty:
        raise DataError(f"{sources} and {targets} have no pairs in them. {REMEDY}")


def _checked(source: str, target: str, place: str) -> Pair:
    for name, text in {"source": source, "target": target}.items():
        if not text.strip():
            raise DataError(f"{place} has an empty {name}. Leave the pair out, or translate it.")
        if "\n" in text or "\r" in text:
            raise DataError(f"{place} has a {name} of several lines. Write it as one line, or as several pairs.")
    return Pair(source, target)
