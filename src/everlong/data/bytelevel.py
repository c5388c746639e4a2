"""Tokens as bytes: decoding that is exact, also one token at a time.

Every token of our tokenizers stands for a fixed string of bytes, so a text is its tokens' bytes one after another, and
nothing depends on where decoding pauses. In a vocabulary file a byte is written as a printable character, by the table
of GPT-2 (Radford et al. 2019, ``bytes_to_unicode``).
"""

import codecs
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from everlong.data.sealed import digest, write_sealed
from everlong.errors import DataError

TOKENIZER_FILE = "tokenizer.json"

Ids = Sequence[int] | NDArray[np.integer[Any]]
TokenArray = NDArray[np.unsignedinteger[Any]]
"""Tokens as the store keeps them: the smallest unsigned type that holds the vocabulary."""


def token_dtype(vocab_size: int) -> np.dtype[np.unsignedinteger[Any]]:
    """The smallest little-endian unsigned type for ids below ``vocab_size``."""
    for name in ("<u1", "<u2"):
        if vocab_size <= 1 << 8 * np.dtype(name).itemsize:
            return np.dtype(name)
    return np.dtype("<u4")


def utf8(text: str) -> bytes:
    """The text's bytes.

    Raises:
        DataError: the text has a lone surrogate, which no UTF-8 stands for.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"character {error.start} of the text is half a character (a lone surrogate). Leave it out, or replace it "
            'with text.encode("utf-8", "replace").decode().'
        ) from error


def byte_characters() -> list[str]:
    """The printable character that stands for each of the 256 bytes."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def checked(ids: Ids, vocab_size: int) -> NDArray[np.integer[Any]]:
    """The ids as an array, each of them inside the vocabulary.

    Raises:
        DataError: an id is negative or not below ``vocab_size``.
    """
    array = np.asarray(ids) if len(ids) else np.zeros(0, np.int64)
    outside = (array < 0) | (array >= vocab_size)
    if outside.any():
        raise DataError(
            f"token {array[outside][0]} is outside the vocabulary of {vocab_size}. "
            "Decode with the tokenizer that the model was trained with."
        )
    return array


@final
class TextStream:
    """Text out of tokens as they come; a character is held back until its last byte is there.

    What :meth:`push` gives, and :meth:`flush` at the end, joins to what ``decode`` gives for all tokens at once.
    """

    def __init__(self, token_bytes: Sequence[bytes]) -> None:
        self._token_bytes = token_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token: int) -> str:
        """The characters that this token completes; often one, sometimes none.

        Raises:
            DataError: the token is outside the vocabulary.
        """
        checked([token], len(self._token_bytes))
        return self._decoder.decode(self._token_bytes[token])

    def flush(self) -> str:
        """What is left of an unfinished character, as U+FFFD; the stream is then as new."""
        rest = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return rest


@final
@dataclass(frozen=True)
class Located:
    """The tokens of a text, and where each comes from: characters ``begins[i]`` to ``ends[i]``, the latter left out.

    Both are in order. Tokens that share a character, being bytes of it say, each come from all of it.
    """

    tokens: list[int]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]


class ByteLevelTokenizer(ABC):
    """What all tokenizers share, whatever makes a text into tokens: bytes, and a file."""

    def __init__(self, token_bytes: Sequence[bytes]) -> None:
        self.token_bytes = list(token_bytes)
        self.vocab_size = len(self.token_bytes)
        self.byte_lengths: NDArray[np.int64] = np.array([len(token) for token in self.token_bytes], np.int64)

    @property
    @abstractmethod
    def fields(self) -> dict[str, object]:
        """Everything that decides the tokens of a text, as JSON values."""

    @property
    def digest(self) -> str:
        """SHA-256 of everything that decides the tokens of a text, in hexadecimal."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        return digest(self.fields)

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """The tokens of a text.

        Raises:
            DataError: the text has a lone surrogate, which no UTF-8 stands for.
        """

    def locate(self, text: str) -> Located:
        """The tokens of a text, as `encode` gives them, and the characters that each comes from.

        Here tokens are the text's bytes, one after another; a tokenizer that is not exact has a way of its own.

        Raises:
            DataError: as :meth:`encode`.
        """
        tokens = self.encode(text)
        # For each byte the number of its character, which a byte of the form 10xxxxxx does not begin.
        character = np.cumsum(np.frombuffer(utf8(text), np.uint8) & 0xC0 != 0x80) - 1
        lengths = self.byte_lengths[np.array(tokens, np.int64)]
        after = np.cumsum(lengths)
        return Located(tokens, character[after - lengths], character[after - 1] + 1)

    def decode(self, ids: Ids) -> str:
        """The text of these tokens; bytes that are no UTF-8 become U+FFFD.

        Raises:
            DataError: an id is outside the vocabulary.
        """
        known = checked(ids, self.vocab_size).tolist()
        return b"".join([self.token_bytes[token] for token in known]).decode(errors="replace")

    def stream(self) -> TextStream:
        """A decoder that takes tokens one at a time."""
        return TextStream(self.token_bytes)

    def n_bytes(self, ids: Ids) -> int:
        """How many UTF-8 bytes these tokens stand for.

        Raises:
            DataError: an id is outside the vocabulary.
        """
        return int(self.byte_lengths[checked(ids, self.vocab_size)].sum())

    def save(self, folder: str | PathLike[str]) -> None:
        """Write ``tokenizer.json`` into a folder.

        Raises:
            RunError: the disk is full, or the folder may not be written to.
        """
        write_sealed(Path(folder) / TOKENIZER_FILE, self.fields)
