"""Bytes as tokens."""

from collections.abc import Iterable, Iterator
from typing import final

import numpy as np

from everlong.data.bytelevel import ByteLevelTokenizer, Ids, TokenArray, checked, utf8


@final
class ByteTokenizer(ByteLevelTokenizer):
    """Every UTF-8 byte is a token: 256 of them, nothing to train, any language.

    >>> ByteTokenizer().encode("né")
    [110, 195, 169]
    """

    name = "byte"
    exact = True

    def __init__(self) -> None:
        super().__init__([bytes([byte]) for byte in range(256)])

    @property
    def fields(self) -> dict[str, object]:
        """Everything that decides the tokens of a text, as JSON values."""
        return {"kind": self.name}

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

    def n_bytes(self, ids: Ids) -> int:
        """How many bytes these are.

        Raises:
            DataError: an id is not a byte.
        """
        return len(checked(ids, self.vocab_size))
