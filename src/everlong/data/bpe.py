"""Byte-pair encoding over bytes (Sennrich et al. 2016; byte-level as in GPT-2, Radford et al. 2019).

A text is first cut into words by `WORDS`; merges never cross a word. A word that holds a line feed ends with the last
line feed of its run, so a cut after a line feed and before anything but white space changes no token. At such places a
text of any length is cut into segments and encoded in constant memory; the segments depend on the text alone, not on
the pieces it arrived in.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import cast, final

import numpy as np
import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from everlong.data.bytelevel import (
    ByteLevelTokenizer,
    TokenArray,
    byte_characters,
    token_dtype,
    utf8,
)
from everlong.errors import ConfigError, DataError

WORDS = re.compile(
    r"[^\r\n\w]?[^\W\d_]+|\d{1,3}"  # a word with the space or mark before it; digits by threes
    r"| ?(?:[^\s\w]|_)+[\r\n]*"  # other marks and the line ends after them
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"  # white space: to the end of its last line, then all but the space before a word
)
"""Splits a text into words, losing nothing; close to the pattern of GPT-4's tokenizer (``cl100k_base``)."""

SEGMENT = 1 << 16
CACHED = 1 << 22  # characters of words whose tokens are kept at hand
DISTINCT = 8 << 20  # bytes of distinct words in training; the trainer needs about 85 bytes for each
TRAINING_CHARACTERS = 100_000_000


@final
class BPETokenizer(ByteLevelTokenizer):
    """Byte-level byte-pair encoding: any text, in any language, comes back exactly as it was.

    ``tokens`` are the vocabulary in the order of ids, in GPT-2's printable bytes; ``merges`` come first things first.

    >>> tokenizer = BPETokenizer.train(["low lower lowest"] * 10, vocab_size=260)
    >>> tokenizer.decode(tokenizer.encode("slower 慢"))
    'slower 慢'
    """

    name = "bpe"
    exact = True

    def __init__(self, tokens: Sequence[str], merges: Sequence[tuple[str, str]]) -> None:
        self._tokens, self._merges = list(tokens), list(merges)
        byte_of = {character: byte for byte, character in enumerate(byte_characters())}
        super().__init__([bytes(byte_of[character] for character in token) for token in tokens])
        vocabulary = {token: i for i, token in enumerate(self._tokens)}
        self._merger = _word_merger(models.BPE(vocab=vocabulary, merges=self._merges, cache_capacity=0))
        self._dtype = token_dtype(self.vocab_size)
        self._known: dict[str, bytes] = {}
        self._known_characters = 0

    @classmethod
    def train(cls, texts: Iterable[str], *, vocab_size: int, limit: int = TRAINING_CHARACTERS) -> "BPETokenizer":
        """A vocabulary learned from the beginning of the texts; the same texts give the same one.

        It has ``vocab_size`` tokens, or fewer when the texts have no more pairs to merge. Reading stops after ``limit``
        characters, or earlier when `DISTINCT` bytes of different words have been seen, which bounds the memory needed.

        Raises:
            ConfigError: ``vocab_size`` has no room for the 256 bytes, or ``limit`` is less than 1.
            DataError: there is no text, or it has a lone surrogate.
        """
        if vocab_size < 256:
            raise ConfigError(f"vocab_size={vocab_size} has no room for the 256 bytes. Choose 256 or more.")
        if limit < 1:
            raise ConfigError(f"limit={limit} leaves no text to learn from. Choose 1 or more.")
        words = _training_words(texts, limit=limit)
        if (first := next(words, None)) is None:
            raise DataError("there is no text to train a tokenizer on. Give at least one text that is not empty.")
        merger = _word_merger(models.BPE())
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
        )
        merger.train_from_iterator(chain([first], words), trainer)
        model = json.loads(merger.to_str())["model"]
        vocabulary: dict[str, int] = model["vocab"]
        return cls(sorted(vocabulary, key=vocabulary.__getitem__), [(left, right) for left, right in model["merges"]])

    @classmethod
    def from_fields(cls, fields: Mapping[str, object]) -> "BPETokenizer":
        """The tokenizer that :attr:`fields` describes."""
        tokens, merges = cast("list[str]", fields["tokens"]), cast("list[list[str]]", fields["merges"])
        return cls(tokens, [(left, right) for left, right in merges])

    @property
    def fields(self) -> dict[str, object]:
        """Everything that decides the tokens of a text, as JSON values."""
        merges = [list(merge) for merge in self._merges]
        return {"kind": self.name, "tokens": self._tokens, "merges": merges}

    def encode(self, text: str) -> list[int]:
        """The tokens of a text.

        Raises:
            DataError: the text has a lone surrogate, which no UTF-8 stands for.
        """
        return [token for tokens in self.encode_pieces([text]) for token in tokens.tolist()]

    def encode_pieces(self, pieces: Iterable[str]) -> Iterator[TokenArray]:
        """The tokens of the joined pieces, in arrays, holding a few megabytes at most. Cuts change nothing.

        Raises:
            DataError: as :meth:`encode`.
        """
        for segment in segments(pieces):
            words = WORDS.findall(segment)
            yield np.frombuffer(b"".join(map(self._know(set(words)).__getitem__, words)), self._dtype)

    def _know(self, words: set[str]) -> dict[str, bytes]:
        """A table with the tokens of these words; a text has few distinct ones, so looking up is most of the work."""
        if self._known_characters > CACHED:
            # A new table, so that another thread can finish with the old one.
            self._known, self._known_characters = {}, 0
        known = self._known
        if new := list(words.difference(known)):
            merged = self._merger.encode_batch_fast(new, add_special_tokens=False)
            known.update(
                (word, np.array(part.ids, self._dtype).tobytes()) for word, part in zip(new, merged, strict=True)
            )
            self._known_characters += sum(map(len, new))
        return known


def cut_after_line(text: str, begin: int, end: int) -> int:
    """The last place in ``(begin, end]`` after a line feed and before a character, or ``end``."""
    feed = text.rfind("\n", begin, end)
    while feed >= 0 and text[feed + 1].isspace():
        feed = text.rfind("\n", begin, feed)
    return end if feed < 0 else feed + 1


def segments(pieces: Iterable[str], *, cut: Callable[[str, int, int], int] = cut_after_line) -> Iterator[str]:
    """The joined pieces, cut anew where no word is cut, at most `SEGMENT` characters each.

    `cut` finds the last such place after one position and up to another, or gives the latter back: a stretch of
    `SEGMENT` characters without such a place is cut at its end all the same. The cuts depend on the joined text alone.

    Raises:
        DataError: a piece has a lone surrogate, which no UTF-8 stands for.
    """
    text = ""
    for piece in pieces:
        utf8(piece)
        text += piece
        begin = 0
        while len(text) - begin > SEGMENT:
            end = cut(text, begin, begin + SEGMENT)
            yield text[begin:end]
            begin = end
        text = text[begin:]
    if text:
        yield text


def _word_merger(model: models.BPE) -> tokenizers.Tokenizer:
    """An encoder of single words: each string it is given is one word."""
    merger = tokenizers.Tokenizer(model)
    merger.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return merger


def _training_words(texts: Iterable[str], *, limit: int) -> Iterator[str]:
    seen: set[str] = set()
    volume = 0
    for segment in segments(texts):
        words = WORDS.findall(segment[:limit])
        yield from words
        new = set(words) - seen
        seen |= new
        volume += sum(len(word.encode()) for word in new)
        limit -= len(segment)
        if limit <= 0 or volume >= DISTINCT:
            return
