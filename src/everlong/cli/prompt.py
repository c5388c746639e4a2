"""Text that a model is to read first: words of the command line, a file, or standard input."""

import sys
from collections.abc import Iterator
from pathlib import Path

from everlong.data.source import BLOCK
from everlong.data.utf8 import FileText, decode
from everlong.errors import ConfigError, DataError

STDIN = Path("-")
PIECE = 1 << 14
"""Characters that are handed on at a time, so that progress can be shown."""


def prompt_pieces(text: str | None, file: Path | None) -> Iterator[str]:
    """The prompt in pieces; nothing where none is given. ``-`` as the file is standard input.

    Raises:
        ConfigError: a text and a file are given.
        DataError: at once, for a text that is not UTF-8 or a file that is not there; while reading, for one that is not
            UTF-8 text.
    """
    if text is not None and file is not None:
        raise ConfigError("--prompt and --prompt-file are both given. Give one of them.")
    if text is not None:
        _require_utf8(text)
        return iter([text] if text else [])
    if file is None:
        return iter(())
    if file == STDIN:
        return _small(_stdin())
    if not file.is_file():
        raise DataError(f"there is no file {file} to read the prompt from. Check the path.")
    return _small(FileText(file))


def _require_utf8(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"the prompt is not valid UTF-8 at character {error.start}. Set the terminal to UTF-8, or give the text "
            "in a UTF-8 file with --prompt-file."
        ) from error


def _stdin() -> Iterator[str]:
    offset, line, cut = 0, 1, b""
    place = Path("standard input")
    while block := sys.stdin.buffer.read(BLOCK):
        data = cut + block
        text, used = decode(data, place, offset=offset, line=line, final=False)
        cut = data[used:]
        offset += used
        line += data.count(b"\n")
        yield text
    decode(cut, place, offset=offset, line=line, final=True)


def _small(pieces: FileText | Iterator[str]) -> Iterator[str]:
    for piece in pieces:
        for at in range(0, len(piece), PIECE):
            yield piece[at : at + PIECE]
