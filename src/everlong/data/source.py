"""Bytes of a file, decompressed by its suffix, a block at a time, however large it is."""

import gzip
import lzma
import zlib
from collections.abc import Iterator
from io import BufferedIOBase, BufferedReader, BytesIO
from pathlib import Path

from everlong.errors import DataError

BLOCK = 1 << 20
ZSTD_INPUT = 1 << 14  # one compressed block may expand a thousandfold, so it is fed in small bites

COMPRESSED = (".gz", ".xz", ".zst")
"""Suffixes that are decompressed on the fly; any other file is read as it is."""


def read_blocks(path: Path) -> Iterator[bytes]:
    """The file's bytes in blocks of about a megabyte, never an empty one.

    Raises:
        DataError: the file cannot be opened, its compression is damaged or cut short, or ``zstandard`` is missing.
    """
    try:
        with path.open("rb") as file:
            yield from _decompressed(file, path)
    except (gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        raise DataError(f"{path} is damaged or cut short ({error}). Use another copy of it.") from error
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror or error}. Check the path and its permissions."
        ) from error


def read_lines(path: Path) -> Iterator[bytes]:
    """The file's lines, each with its line feed; only a line feed ends a line.

    Raises:
        DataError: as :func:`read_blocks`.
    """
    begun: list[bytes] = []
    for block in read_blocks(path):
        for line in BytesIO(block):
            if not line.endswith(b"\n"):
                begun.append(line)
            elif begun:
                yield b"".join((*begun, line))
                begun.clear()
            else:
                yield line
    if begun:
        yield b"".join(begun)


def _decompressed(file: BufferedReader, path: Path) -> Iterator[bytes]:
    match path.suffix.lower():
        case ".gz":
            with gzip.open(file, "rb") as plain:
                yield from _blocks(plain)
        case ".xz":
            with lzma.open(file, "rb") as plain:
                yield from _blocks(plain)
        case ".zst":
            yield from _zstd_blocks(file, path)
        case _:
            yield from _blocks(file)


def _blocks(file: BufferedIOBase) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block


def _zstd_blocks(file: BufferedReader, path: Path) -> Iterator[bytes]:
    try:
        import zstandard
    except ImportError as error:
        raise DataError(f'{path} needs the zstandard package. Install it with: pip install "everlong[zstd]"') from error
    # The library's own stream reader takes a frame that is cut short for a complete one; this object tells.
    frame, whole = zstandard.ZstdDecompressor().decompressobj(), True
    try:
        while packed := file.read(ZSTD_INPUT):
            while packed:
                if block := frame.decompress(packed):
                    yield block
                whole, packed = frame.eof, frame.unused_data
                if whole:
                    frame = zstandard.ZstdDecompressor().decompressobj()
    except zstandard.ZstdError as error:
        raise DataError(f"{path} is damaged or cut short ({error}). Use another copy of it.") from error
    if not whole:
        raise EOFError("the last frame has no end")
