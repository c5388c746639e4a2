"""UTF-8 read strictly, piece by piece, with errors that say where."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

from everlong.data.source import COMPRESSED, read_blocks
from everlong.errors import DataError

BOM = codecs.BOM_UTF8


@final
@dataclass(frozen=True)
class FileText:
    """A text file as pieces of at most a megabyte, opened anew each time they are asked for.

    Raises:
        DataError: while iterating, as :func:`~everlong.data.source.read_blocks` and :func:`decode`.
    """

    path: Path

    def __iter__(self) -> Iterator[str]:
        offset, line, cut = 0, 1, b""
        for block in read_blocks(self.path):
            data = cut + block
            text, used = decode(data, self.path, offset=offset, line=line, final=False)
            cut = data[used:]
            offset += used
            line += data.count(b"\n")  # what was cut off is less than a character, so no line feed is in it
            if text:
                yield text
        decode(cut, self.path, offset=offset, line=line, final=True)


def decode(data: bytes, path: Path, *, offset: int, line: int, final: bool) -> tuple[str, int]:
    """Strict UTF-8 text of a part of a file, and how many bytes of it were used.

    ``offset`` (bytes) and ``line`` (from 1) say where in the file ``data`` begins; the byte-order mark of a file is
    dropped. Unless ``final``, a character cut by the end of ``data`` is left unused.

    Raises:
        DataError: a zero byte, or bytes that are not UTF-8; the message has the place and the remedy.
    """
    if offset == 0 and data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{path} is UTF-16, not UTF-8. Convert it first: iconv -f UTF-16 -t UTF-8 {path} > new.txt")
    if (zero := data.find(0)) >= 0:
        raise DataError(
            f"{path} is a binary file: byte {offset + zero:,}{_unpacked(path)} is zero. "
            "Give plain UTF-8 text or JSON lines."
        )
    try:
        text, used = codecs.utf_8_decode(data, "strict", final)
    except UnicodeDecodeError as error:
        byte, line = offset + error.start, line + data.count(b"\n", 0, error.start)
        raise DataError(
            f"{path} is not valid UTF-8 at byte {byte:,}, line {line:,}{_unpacked(path)} ({error.reason}). "
            f"Convert it from the encoding it has, for example: iconv -f GB18030 -t UTF-8 {path} > new.txt"
        ) from error
    return (text.removeprefix("\ufeff") if offset == 0 else text), used


def _unpacked(path: Path) -> str:
    return " of the decompressed text" if path.suffix.lower() in COMPRESSED else ""
