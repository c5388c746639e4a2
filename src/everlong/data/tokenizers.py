"""Text to tokens and back, without loss, in any language."""

from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, final

import numpy as np
from numpy.typing import NDArray

from everlong.data.bpe import BPETokenizer
from everlong.data.bytelevel import TextStream, TokenArray, checked, join_bytes, utf8
from everlong.data.sealed import digest, read_sealed, write_sealed
from everlong.errors import DamagedFile

FILE_NAME = "tokenizer.json"


class Tokenizer(Protocol):
    """Text to tokens and back. Each token stands for a fixed string of bytes, and decoding undoes encoding exactly."""

    @property
    def name(self) -> str:
        """The kind: ``byte`` or ``bpe``."""
        ...

    @property
    def vocab_size(self) -> int:
        """Ids are 0 to ``vocab_size - 1``."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 of everything that decides the tokens of a text, in hexadecimal."""
        ...

    @property
    def byte_lengths(self) -> NDArray[np.int64]:
        """For each id, how many UTF-8 bytes it stands for: ``byte_lengths[ids].sum()`` is the divisor of bits per byte."""
        ...

    def encode(self, text: str) -> list[int]:
        """The tokens of a text.

        Raises:
            DataError: the text has a lone surrogate, which no UTF-8 stands for.
        """
        ...

    def encode_pieces(self, pieces: Iterable[str]) -> Iterator[TokenArray]:
        """The tokens of the joined pieces, in arrays, holding a few megabytes at most. Cuts change nothing.

        Raises:
            DataError: as :meth:`encode`.
        """
        ...

    def decode(self, ids: Sequence[int] | NDArray[np.integer[Any]]) -> str:
        """The text of these tokens; bytes that are no UTF-8 become U+FFFD.

        Raises:
            DataError: an id is outside the vocabulary.
        """
        ...

    def stream(self) -> TextStream:
        """A decoder that takes tokens one at a time."""
        ...

    def n_bytes(self, ids: Sequence[int] | NDArray[np.integer[Any]]) -> int:
        """How many UTF-8 bytes these tokens stand for.

        Raises:
            DataError: an id is outside the vocabulary.
        """
        ...

    def save(self, folder: str | PathLike[str]) -> None:
        """Write ``tokenizer.json`` into a folder; :func:`load_tokenizer` reads it.

        Raises:
            RunError: the disk is full, or the folder may not be written to.
        """
        ...


@final
class ByteTokenizer:
    """Every UTF-8 byte is a token: 256 of them, nothing to train, any language.

    >>> ByteTokenizer().encode("né")
    [110, 195, 169]
    """

    name = "byte"
    vocab_size = 256

    def __init__(self) -> None:
        self.byte_lengths: NDArray[np.int64] = np.ones(256, np.int64)
        self._token_bytes = [bytes([byte]) for byte in range(256)]

    @property
    def digest(self) -> str:
        """SHA-256 of everything that decides the tokens of a text, in hexadecimal."""
        return digest({"kind": self.name})

    def encode(self, text: str) -> list[int]:
        """The UTF-8 bytes of a text.

        Raises:
            DataError: the text has a lone surrogate, which no UTF-8 stands for.
        """
        return list(utf8(text))

    def encode_pieces(self, pieces: Iterable[str]) -> Iterator[TokenArray]:
        """The UTF-8 bytes of the pieces, one read-only array each, without a copy.

        Raises:
            DataError: as :meth:`encode`.
        """
        for piece in pieces:
            yield np.frombuffer(utf8(piece), np.uint8)

    def decode(self, ids: Sequence[int] | NDArray[np.integer[Any]]) -> str:
        """The text of these bytes; what is no UTF-8 becomes U+FFFD.

        Raises:
            DataError: an id is not a byte.
        """
        return checked(ids, self.vocab_size).astype(np.uint8).tobytes().decode(errors="replace")

    def stream(self) -> TextStream:
        """A decoder that takes bytes one at a time."""
        return TextStream(self._token_bytes)

    def n_bytes(self, ids: Sequence[int] | NDArray[np.integer[Any]]) -> int:
        """How many bytes these are.

        Raises:
            DataError: an id is not a byte.
        """
        return len(checked(ids, self.vocab_size))

    def save(self, folder: str | PathLike[str]) -> None:
        """Write ``tokenizer.json`` into a folder.

        Raises:
            RunError: the disk is full, or the folder may not be written to.
        """
        write_sealed(Path(folder) / FILE_NAME, {"kind": self.name})


def load_tokenizer(folder: str | PathLike[str]) -> Tokenizer:
    """The tokenizer that was saved in this folder.

    Raises:
        DamagedFile: ``tokenizer.json`` is missing, altered, or of a kind that this version does not know.
    """
    path = Path(folder) / FILE_NAME
    fields = read_sealed(path)
    match fields.get("kind"):
        case "byte":
            return ByteTokenizer()
        case "bpe":
            return BPETokenizer.from_fields(fields)
        case kind:
            raise DamagedFile(f"{path} holds a tokenizer of kind {kind!r}; known are 'byte' and 'bpe'. Update Everlong.")
