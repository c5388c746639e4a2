"""The texts that ``everlong classify``, ``tag`` and ``answer`` are given."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from everlong.data import read_documents
from everlong.errors import DataError


def named_texts(files: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """The name and the text of each document of files and folders.

    Raises:
        DataError: a file cannot be read, or a text has nothing but white space in it.
    """
    for document in read_documents(files):
        if not (text := document.text).strip():
            raise DataError(f"{document.name} has nothing but white space in it. Leave it out.")
        yield document.name, text
