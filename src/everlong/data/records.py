"""JSON lines: one object a line, plain or compressed, each with the place where it stands."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, final

from everlong.data.source import read_lines
from everlong.data.utf8 import decode
from everlong.errors import DataError


@final
@dataclass(frozen=True)
class Record:
    """An object of a file."""

    place: str
    """``file:line``."""
    fields: dict[str, Any]
    remedy: str
    """What every line must be, in a sentence."""

    def text(self, name: str) -> str:
        """A field that is text.

        Raises:
            DataError: it is missing or something else, or has half a character.
        """
        text = self.fields.get(name)
        if not isinstance(text, str):
            raise DataError(f'{self.place} has no string "{name}". {self.remedy}')
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DataError(
                f"{self.place} has half a character (a lone surrogate, character {error.start} of its {name}). "
                "Write the character whole, or leave it out."
            ) from error
        return text


def read_records(file: Path, *, example: str) -> Iterator[Record]:
    """The objects of a file, in order; empty lines are passed over.

    Raises:
        DataError: the file cannot be read, or a line is something else; `example` shows what it should be.
    """
    remedy = f"Each line must be one object such as {example}."
    offset = 0
    for number, data in enumerate(read_lines(file), start=1):
        line, _ = decode(data, file, offset=offset, line=number, final=True)
        offset += len(data)
        if line.strip():
            place = f"{file}:{number}"
            yield Record(place, _object(line, place, remedy), remedy)


def _object(line: str, place: str, remedy: str) -> dict[str, Any]:
    try:
        found: object = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place} is not JSON ({error}). {remedy}") from error
    if not isinstance(found, dict):
        raise DataError(f"{place} is not a JSON object. {remedy}")
    return cast("dict[str, Any]", found)
