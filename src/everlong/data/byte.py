"""Bytes as tokens."""

from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from everlong.data.bytelevel import TOKENIZER_FILE, Ids, TextStream, TokenArray, checked, utf8
from everlong.data.sealed import digest, write_sealed


@final
class ByteTokenizer:
    """Every UTF-8 byte is a token: 256 of them, nothing to train, any language.

    >>> ByteTokenizer().encode("né")
    [110, 195, 169]
    """

    name = "byte"
    exact = True
    vocab_size = 256

    def __init__(self) -> None:
        self.byte_lengths: NDArray[np.int64] = np.ones(256, np.int64)
        self.token_bytes = [bytes([byte]) for byte in range(256)]

    @property
    def fields(self) -> dict[str, object]:
        """Everything that decides the tokens of a text, as JSON values."""
        return {"kind": self.name}

    @property
    def digest(self) -> str:
        """SHA-256 of everything that decides the tokens of a text, in hexadecimal."""
        return digest(self.fields)

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

    def decode(self, ids: Ids) -> str:
        """The text of these bytes; what is no UTF-8 becomes U+FFFD.

        Raises:
            DataError: an id is not a byte.
        """
        return checked(ids, self.vocab_size).astype(np.uint8).tobytes().decode(errors="replace")

    def stream(self) -> TextStream:
        """A decoder that takes bytes one at a time."""
        return TextStream(self.token_bytes)

    def n_bytes(self, ids: Ids) -> int:
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
        write_sealed(Path(folder) / TOKENIZER_FILE, self.fields)
