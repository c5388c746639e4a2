"""Text in: files, folders, JSON lines, plain or compressed, as a stream of documents.

A document comes in pieces, so that a file of ten gigabytes is read in the same few megabytes as a short one.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

from everlong.data.records import read_records
from everlong.data.source import COMPRESSED, read_lines
from everlong.data.utf8 import BOM, FileText, decode
from everlong.errors import ConfigError, DataError

TEXT_SUFFIXES = (".jsonl", ".log", ".markdown", ".md", ".rst", ".tex", ".text", ".txt")
"""What is text inside a folder, each also with ``.gz``, ``.xz`` or ``.zst``; a file given by name always is."""


@final
@dataclass(frozen=True)
class Document:
    """A named text where memory begins anew, in pieces that are read when asked for.

    >>> Document("tale", "once upon a time").text
    'once upon a time'
    """

    name: str
    pieces: Iterable[str]

    def __post_init__(self) -> None:
        # A string is itself an iterable of its characters, which is never what a caller means.
        if isinstance(self.pieces, str):
            object.__setattr__(self, "pieces", (self.pieces,))

    @property
    def text(self) -> str:
        """All pieces joined; holds the whole document."""
        return "".join(self.pieces)


def read_documents(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], *, separator: str | None = None
) -> Iterator[Document]:
    """Documents of files and folders, in the order given; a folder's files in the order of their names.

    A text file is one document, read piece by piece each time its pieces are asked for. With ``separator``, lines equal
    to it split a file into documents, held one at a time and named ``file:line``. Each line of a ``.jsonl`` file is an
    object whose field ``text`` is a document. Folders are searched through; hidden files and files without a text
    suffix (`TEXT_SUFFIXES`) are passed over, and so are empty documents. Characters arrive as they are in the file,
    line ends included; only a byte-order mark at the beginning is dropped.

    Raises:
        ConfigError: the separator spans more than one line.
        DataError: at once, for a missing path or a folder without text files; while reading, for a file that is empty,
            binary, not UTF-8, damaged, or JSON lines without a text.
    """
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    if separator is not None and "\n" in separator:
        raise ConfigError(f"the separator {separator!r} spans more than one line. Give the text of one whole line.")
    given = [Path(path) for path in paths]
    if not given:
        raise DataError("no text was given. Name a file or a folder.")
    return _documents([(path, text_files(path)) for path in given], separator)


def _documents(sources: list[tuple[Path, list[Path]]], separator: str | None) -> Iterator[Document]:
    for given, files in sources:
        empty = True
        for file in files:
            for document in _file_documents(file, separator):
                empty = False
                yield document
        if empty:
            raise DataError(f"{given} is empty: there is no text in it. Name a file with text.")


def _file_documents(file: Path, separator: str | None) -> Iterator[Document]:
    if inner_suffix(file) == ".jsonl":
        return _json_documents(file)
    if separator is not None:
        return _separated_documents(file, separator)
    return _whole_document(file)


def _whole_document(file: Path) -> Iterator[Document]:
    text = FileText(file)
    if any(text):
        yield Document(str(file), text)


def _separated_documents(file: Path, separator: str) -> Iterator[Document]:
    mark = separator.encode()
    ends = {mark, mark + b"\n", mark + b"\r\n"}
    held: list[bytes] = []
    held_at = held_line = offset = 0
    for number, line in enumerate(read_lines(file), start=1):
        if (line.removeprefix(BOM) if number == 1 else line) in ends:
            yield from _held_document(file, b"".join(held), offset=held_at, line=held_line)
            held.clear()
        else:
            if not held:
                held_at, held_line = offset, number
            held.append(line)
        offset += len(line)
    yield from _held_document(file, b"".join(held), offset=held_at, line=held_line)


def _held_document(file: Path, data: bytes, *, offset: int, line: int) -> Iterator[Document]:
    text, _ = decode(data, file, offset=offset, line=line, final=True)
    if text:
        yield Document(f"{file}:{line}", text)


def _json_documents(file: Path) -> Iterator[Document]:
    for record in read_records(file, example='{"text": "..."}'):
        if text := record.text("text"):
            yield Document(record.place, text)


def text_files(path: Path) -> list[Path]:
    """The file, or the text files of a folder in the order of their names.

    Raises:
        DataError: there are none.
    """
    if path.is_file():
        return [path]
    if path.is_dir():
        files = sorted(_walk(path))
        if not files:
            raise DataError(
                f"there are no text files in the folder {path} ({' '.join(TEXT_SUFFIXES)}, also with "
                f"{' '.join(COMPRESSED)}). Files with other endings are read when named one by one."
            )
        return files
    if path.exists():
        raise DataError(f"{path} is neither a file nor a folder. Save its text to a file first.")
    raise DataError(f"there is no file or folder {path}. Check the path.")


def _walk(folder: Path) -> Iterator[Path]:
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise DataError(f"cannot read {folder}: {error.strerror}. Check its permissions.") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            # A link to a folder may lead back to where it came from.
            if not entry.is_symlink():
                yield from _walk(entry)
        elif inner_suffix(entry) in TEXT_SUFFIXES and entry.is_file():
            yield entry


def inner_suffix(path: Path) -> str:
    """The suffix of the text itself: ``.jsonl`` for ``a.jsonl.gz``."""
    plain = path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
    return plain.suffix.lower()
