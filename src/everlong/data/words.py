"""Words as tokens, for tasks with a small vocabulary of their own."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, final

import numpy as np

from everlong.data.bytelevel import ByteLevelTokenizer, Located, TokenArray, token_dtype, utf8

UNKNOWN = "<unknown>"
"""Stands for every word outside the vocabulary; it has the id 0, and no text has it as a word."""


WORD = re.compile(r"\w+|[^\w\s]")
"""A word in lower case, or a punctuation mark."""


def split_words(text: str) -> list[str]:
    """The words and punctuation marks of a text, in lower case.

    >>> split_words("Where is Mary?")
    ['where', 'is', 'mary', '?']
    """
    return WORD.findall(text.lower())


@final
class WordTokenizer(ByteLevelTokenizer):
    """Every word and every punctuation mark is a token. Decoding gives lower-case words with a space after each.

    Unlike the other tokenizers this one loses capitals, spaces and words it does not know.

    >>> tokenizer = WordTokenizer.of(["mary", "went", "home", "."])
    >>> tokenizer.decode(tokenizer.encode("Mary went north."))
    'mary went <unknown> . '
    """

    name = "word"
    exact = False

    def __init__(self, words: tuple[str, ...]) -> None:
        super().__init__([f"{word} ".encode() for word in words])
        self.words = words
        self._ids = {word: number for number, word in enumerate(words)}

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

    def locate(self, text: str) -> Located:
        """The words of a text, and the characters that each comes from.

        Raises:
            DataError: as :meth:`encode`.
        """
        tokens = self.encode(text)
        # A few capitals are two characters in lower case.
        character = np.repeat(np.arange(len(text)), [len(one.lower()) for one in text])
        places = [found.span() for found in WORD.finditer(text.lower())]
        begins, ends = np.array(places, np.int64).reshape(-1, 2).T
        return Located(tokens, character[begins], character[ends - 1] + 1)

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

    def _array(self, text: str) -> TokenArray:
        return np.array(self.encode(text), token_dtype(self.vocab_size))
