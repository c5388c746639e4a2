"""Words as tokens, for tasks with a small vocabulary of their own."""

import re
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from everlong.data.bytelevel import TOKENIZER_FILE, Ids, TextStream, TokenArray, checked, token_dtype, utf8
from everlong.data.sealed import digest, write_sealed

UNKNOWN = "<unknown>"
"""Stands for every word outside the vocabulary; it has the id 0, and no text has it as a word."""


def split_words(text: str) -> list[str]:
    """The words and punctuation marks of a text, in lower case.

    >>> split_words("Where is Mary?")
    ['where', 'is', 'mary', '?']
    """
    return re.findall(r"\w+|[^\w\s]", text.lower())


@final
class WordTokenizer:
    """Every word and every punctuation mark is a token. Decoding gives lower-case words with a space after each.

    Unlike the other tokenizers this one loses capitals, spaces and words it does not know.

    >>> tokenizer = WordTokenizer.of(["mary", "went", "home", "."])
    >>> tokenizer.decode(tokenizer.encode("Mary went north."))
    'mary went <unknown> . '
    """

    name = "word"
    exact = False

    def __init__(self, words: tuple[str, ...]) -> None:
        self.words = words
        self._ids = {word: number for number, word in enumerate(words)}
        self.vocab_size = len(words)
        self.token_bytes = [f"{word} ".encode() for word in words]
        self.byte_lengths: NDArray[np.int64] = np.array([len(token) for token in self.token_bytes], np.int64)

    @classmethod
    def of(cls, words: Iterable[str]) -> "WordTokenizer":
        """The tokenizer that knows these words, in the order of the alphabet, and one more for all others."""
        return cls((UNKNOWN, *sorted(set(words))))

    @classmethod
    def from_fields(cls, fields: Mapping[str, object]) -> "WordTokenizer":
        """The tokenizer of a saved file.

        Raises:
            ValueError: the file has no such words.
        """
        found: Any = fields.get("words")
        words: list[Any] = found if isinstance(found, list) else []
        if words[:1] != [UNKNOWN] or not all(isinstance(word, str) for word in words) or len(set(words)) < len(words):
            raise ValueError(f"its words are no list of different words that begins with {UNKNOWN}")
        return cls(tuple(words))

    @property
    def fields(self) -> dict[str, object]:
        """Everything that decides the tokens of a text, as JSON values."""
        return {"kind": self.name, "words": list(self.words)}

    @property
    def digest(self) -> str:
        """SHA-256 of everything that decides the tokens of a text, in hexadecimal."""
        return digest(self.fields)

    def id_of(self, word: str) -> int:
        """The id of a word; 0 where it is not known."""
        return self._ids.get(word, 0)

    def encode(self, text: str) -> list[int]:
        """The words of a text.

        Raises:
            DataError: the text has a lone surrogate, which no UTF-8 stands for.
        """
        utf8(text)
        return [self.id_of(word) for word in split_words(text)]

    def encode_pieces(self, pieces: Iterable[str]) -> Iterator[TokenArray]:
        """The words of the joined pieces; one that is cut is put together again.

        Raises:
            DataError: as :meth:`encode`.
        """
        rest = ""
        for piece in pieces:
            *whole, last = re.split(r"(?<=\s)(?=\S)", rest + piece)
            rest = last
            if whole:
                yield self._array("".join(whole))
        if rest.strip():
            yield self._array(rest)

    def decode(self, ids: Ids) -> str:
        """The words, each with a space after it.

        Raises:
            DataError: an id is outside the vocabulary.
        """
        return b"".join(self.token_bytes[i] for i in checked(ids, self.vocab_size)).decode()

    def stream(self) -> TextStream:
        """A decoder that takes words one at a time."""
        return TextStream(self.token_bytes)

    def n_bytes(self, ids: Ids) -> int:
        """How many bytes the words are, spaces included.

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

    def _array(self, text: str) -> TokenArray:
        return np.array(self.encode(text), token_dtype(self.vocab_size))
