r"""Byte-pair encoding over bytes (Sennrich et al. 2016; byte-level as in GPT-2, Radford et al. 2019).

A text is first cut into words by `WORDS`; merges never cross a word. A word that holds a line feed ends with the last
line feed of its run, so a cut after a line feed and before anything but white space never changes a token. That is what
lets a text of any length be encoded in constant memory: it is cut at such places into segments, which depend on the text
alone and not on the pieces it arrived in.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any, Self, cast, final

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import models, pre_tokenizers, trainers

from everlong.data.bytelevel import TextStream, TokenArray, byte_characters, checked, join_bytes, token_dtype, utf8
from everlong.data.sealed import digest, write_sealed
from everlong.errors import ConfigError, DataError

WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Contractions, words with the space before them, up to three digits, punctuation with its line ends, white space."""

SEGMENT = 1 << 15
BATCH = 64
TRAINING_CHARACTERS = 50_000_000


@final
class BPETokenizer:
    """Byte-level byte-pair encoding: any text, in any language, comes back exactly as it was.

    ``tokens`` are the vocabulary in the order of ids, written in GPT-2's printable bytes; ``merges`` in order of priority.

    >>> tokenizer = BPETokenizer.train(["low lower lowest"] * 10, vocab_size=260)
    >>> tokenizer.decode(tokenizer.encode("slower 慢"))
    'slower 慢'
    """

    name = "bpe"

    def __init__(self, tokens: Sequence[str], merges: Sequence[tuple[str, str]]) -> None:
        self.vocab_size = len(tokens)
        self._tokens, self._merges = list(tokens), list(merges)
        byte_of = {character: byte for byte, character in enumerate(byte_characters())}
        self._token_bytes = [bytes(byte_of[character] for character in token) for token in tokens]
        self.byte_lengths: NDArray[np.int64] = np.array([len(token) for token in self._token_bytes], np.int64)
        vocabulary = {token: i for i, token in enumerate(self._tokens)}
        self._encoder = _word_encoder(models.BPE(vocab=vocabulary, merges=self._merges))

    @classmethod
    def train(cls, texts: Iterable[str], *, vocab_size: int, limit: int = TRAINING_CHARACTERS) -> Self:
        """A vocabulary learned from the first ``limit`` characters of the texts; the same texts give the same one.

        It has ``vocab_size`` tokens, or fewer when the texts have no more pairs to merge. The count of distinct words is
        kept in memory, which ``limit`` bounds.

        Raises:
            ConfigError: ``vocab_size`` has no room for the 256 bytes.
            DataError: there is no text, or it has a lone surrogate.
        """
        if vocab_size < 256:
            raise ConfigError(f"vocab_size={vocab_size} has no room for the 256 bytes. Choose 256 or more.")
        words = segments(texts)
        sample = list(islice(words, 1))
        if not sample:
            raise DataError("there is no text to train a tokenizer on. Give at least one text that is not empty.")
        encoder = _word_encoder(models.BPE())
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
        )
        encoder.train_from_iterator(_first(limit, sample, words), trainer)
        model = json.loads(encoder.to_str())["model"]
        vocabulary: dict[str, int] = model["vocab"]
        return cls(sorted(vocabulary, key=vocabulary.__getitem__), [(first, second) for first, second in model["merges"]])

    @classmethod
    def from_fields(cls, fields: Mapping[str, object]) -> Self:
        """The tokenizer that :attr:`fields` describes."""
        tokens, merges = cast("list[str]", fields["tokens"]), cast("list[list[str]]", fields["merges"])
        return cls(tokens, [(first, second) for first, second in merges])

    @property
    def fields(self) -> dict[str, object]:
        """Everything that decides the tokens of a text, as JSON values."""
        merges = [[first, second] for first, second in self._merges]
        return {"kind": self.name, "words": WORDS, "tokens": self._tokens, "merges": merges}
