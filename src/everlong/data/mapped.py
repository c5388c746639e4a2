"""Files of integers that are written once, checksummed as they are, and mapped instead of loaded."""

import hashlib
import mmap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from everlong.data.sealed import read_sealed
from everlong.errors import DamagedFile

START_TYPE = np.dtype("<i8")
"""How places in a file are kept."""

RELEASE = 32 << 20
"""A reader lets go of the pages it read about every so many tokens."""

REMEDY = "Remove the folder and build the store again."

Facts = TypeVar("Facts", bound=BaseModel)


def read_facts(path: Path, facts: type[Facts], *, what: str) -> Facts:
    """What the sealed file of a store says.

    Raises:
        DamagedFile: it is missing, altered, or does not describe `what`.
    """
    try:
        return facts.model_validate(read_sealed(path))
    except ValidationError as error:
        raise DamagedFile(f"{path} does not describe {what} ({error.errors()[0]['msg']}). {REMEDY}") from error


@final
class HashedFile:
    """A file being written, and the checksum of what is in it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._sha256 = file, hashlib.sha256()

    def write(self, values: NDArray[np.integer[Any]]) -> None:
        """Add these integers, as they are."""
        data = np.ascontiguousarray(values).data.cast("B")
        self._file.write(data)
        self._sha256.update(data)

    @property
    def sha256(self) -> str:
        """The checksum so far, in hexadecimal."""
        return self._sha256.hexdigest()


def map_file(path: Path, *, n_bytes: int) -> mmap.mmap:
    """The file's bytes, read-only: reading a part of them reads that part of the disk.

    Raises:
        DamagedFile: the file is missing, or has another size.
    """
    if not path.is_file():
        raise DamagedFile(f"{path} is missing. {REMEDY}")
    if (found := path.stat().st_size) != n_bytes:
        raise DamagedFile(f"{path} is damaged: it has {found:,} bytes instead of {n_bytes:,}. {REMEDY}")
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def verify_files(folder: Path, checksums: Mapping[str, str]) -> None:
    """Read all of the files and compare their checksums.

    Raises:
        DamagedFile: a file has changed since it was built.
    """
    for name, checksum in checksums.items():
        with (folder / name).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != checksum:
            raise DamagedFile(f"{folder / name} is damaged: its contents do not match their checksum. {REMEDY}")


def release_pages(maps: Iterable[mmap.mmap]) -> None:
    """Let go of the pages read so far, so that a reader's memory does not grow with the file; views stay valid."""
    for pages in maps:
        pages.madvise(mmap.MADV_DONTNEED)
