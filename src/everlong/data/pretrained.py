"""Tokenizers that came with a pre-trained encoder: WordPiece, and byte-pair encoding over bytes.

    wordpiece   "naïve tokens"  ->  " naive"  " token"  "s"        BERT (Devlin et al., 2019; Wu et al., 2016)
    byte-pairs  "naïve tokens"  ->  "na" "ï" "ve" " tokens"        RoBERTa, GPT-2 (Radford et al., 2019)

Vocabulary, merges and rules are those of the encoder; ids stay what they were. Byte pairs give back every text.
WordPiece does not: it may lower-case and drop accents, white space becomes one space before each word, and a word that
it cannot write is ``[UNK]``. Its tokens stand for what it keeps, so that `n_bytes` counts the text as it writes it.

Symbols such as ``[CLS]`` are no text: a text that spells one is read as the letters it has.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast, final

import numpy as np
import tokenizers

from everlong.data.bpe import segments
from everlong.data.bytelevel import (
    ByteLevelTokenizer,
    Ids,
    Located,
    TokenArray,
    byte_characters,
    token_dtype,
)
from everlong.errors import DataError

KINDS = {("WordPiece", "BertPreTokenizer"): "wordpiece", ("BPE", "ByteLevel"): "byte-pairs"}
"""What the library calls model and pre-tokenizer of a kind, and its name here."""

SYMBOLS = (("[CLS]", "[SEP]", "[MASK]"), ("<s>", "</s>", "<mask>"))
"""What stands before a text, after it, and for a hidden token: in BERT's vocabularies and in RoBERTa's."""

RULES = ("normalizer", "pre_tokenizer", "model")
"""What decides the tokens of a text. Lengths to cut or fill to, and symbols to add, are the business of a task."""

NOTHING_ELSE: dict[str, Any] = {
    "version": "1.0",
    "added_tokens": [],
    **dict.fromkeys(("truncation", "padding", "post_processor", "decoder")),
}


@final
class PretrainedTokenizer(ByteLevelTokenizer):
    """The tokenizer of a pre-trained encoder, from the rules that the `tokenizers` library keeps in ``tokenizer.json``.

    Args:
        rules: ``normalizer``, ``pre_tokenizer`` and ``model`` as that file has them.
        tokens: the vocabulary in the order of ids, symbols included.

    Raises:
        DataError: it is of another kind, has no symbols, or cannot write every byte.
    """

    def __init__(self, rules: Mapping[str, Any], tokens: list[str]) -> None:
        self._rules, self._tokens = {name: rules[name] for name in RULES}, tokens
        self.name = _kind(self._rules, tokens)
        if self.name == "byte-pairs":
            # Some files put a space before every text, so before every piece of a long one, that is not there.
            self._rules["pre_tokenizer"] = {**rules["pre_tokenizer"], "add_prefix_space": False}
        self.exact = self.name == "byte-pairs" and rules["normalizer"] is None
        self.first, self.last, self.mask = _symbols(tokens)
        super().__init__(_as_words(tokens, rules["model"]) if self.name == "wordpiece" else _as_bytes(tokens))
        self._encoder = tokenizers.Tokenizer.from_str(json.dumps({**NOTHING_ELSE, **self._rules}))
        self._dtype = token_dtype(self.vocab_size)

    @classmethod
    def from_fields(cls, fields: Mapping[str, object]) -> "PretrainedTokenizer":
        """The tokenizer that :attr:`fields` describes."""
        return cls(cast("dict[str, Any]", fields["rules"]), cast("list[str]", fields["tokens"]))

    @property
    def fields(self) -> dict[str, object]:
        """Everything that decides the tokens of a text, as JSON values."""
        return {"kind": self.name, "rules": self._rules, "tokens": self._tokens}

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, without symbols around it.

        Raises:
            DataError: the text has a lone surrogate, which no UTF-8 stands for.
        """
        return [token for tokens in self.encode_pieces([text]) for token in tokens.tolist()]

    def locate(self, text: str) -> Located:
        """The tokens of a text, and the characters that each comes from; a word that cannot be written is one token.

        Raises:
            DataError: as :meth:`encode`.
        """
        if self.exact:
            return super().locate(text)
        tokens: list[int] = []
        places: list[tuple[int, int]] = []
        before = 0
        for segment in segments([text], cut=cut_before_space):
            found = self._encoder.encode(segment, add_special_tokens=False)
            tokens += found.ids
            places += [(before + begin, before + end) for begin, end in found.offsets]
            before += len(segment)
        begins, ends = np.array(places, np.int64).reshape(-1, 2).T
        return Located(tokens, begins, ends)

    def encode_pieces(self, pieces: Iterable[str]) -> Iterator[TokenArray]:
        """The tokens of the joined pieces, in arrays, holding a few megabytes at most. Cuts change nothing.

        Raises:
            DataError: as :meth:`encode`.
        """
        for segment in segments(pieces, cut=cut_before_space):
            (found,) = self._encoder.encode_batch_fast([segment], add_special_tokens=False)
            yield np.array(found.ids, self._dtype)

    def framed(self, ids: Ids) -> list[int]:
        """The tokens between the two symbols that the encoder saw around every text: ``[CLS] … [SEP]``."""
        return [self.first, *(int(token) for token in ids), self.last]


def cut_before_space(text: str, begin: int, end: int) -> int:
    """The last place in ``(begin, end]`` after a word and before a space or line feed, or ``end``.

    There neither kind's words go on, whatever follows.
    """
    for place in range(end, begin, -1):
        if text[place] in " \n" and not text[place - 1].isspace():
            return place
    return end


def _kind(rules: Mapping[str, Any], tokens: list[str]) -> str:
    model, before = (str((rules[name] or {}).get("type")) for name in ("model", "pre_tokenizer"))
    if (model, before) not in KINDS:
        raise DataError(
            f"this tokenizer is of kind {model} after {before}; known are WordPiece as in BERT and byte-level BPE as "
            "in RoBERTa. Choose a model that has one of those."
        )
    missing = sorted(set(byte_characters()) - set(tokens))
    if model == "BPE" and missing:
        raise DataError(
            f"this vocabulary has no token for '{missing[0]}', one of the characters that stand for bytes, so some "
            "text could not be written. Choose a model whose vocabulary has all 256."
        )
    return KINDS[model, before]


def _symbols(tokens: list[str]) -> tuple[int, int, int]:
    for symbols in SYMBOLS:
        if all(symbol in tokens for symbol in symbols):
            first, last, mask = (tokens.index(symbol) for symbol in symbols)
            return first, last, mask
    raise DataError(
        "this vocabulary has neither [CLS], [SEP] and [MASK] nor <s>, </s> and <mask>. "
        "Give the vocabulary of a masked-language model."
    )


def _as_words(tokens: list[str], model: Mapping[str, Any]) -> list[bytes]:
    """Beginnings of words with the space before them, and what continues a word without its mark."""
    mark = str(model["continuing_subword_prefix"])
    return [
        (token.removeprefix(mark) if token.startswith(mark) and token != mark else f" {token}").encode()
        for token in tokens
    ]


def _as_bytes(tokens: list[str]) -> list[bytes]:
    """What the printable characters stand for; symbols by their names."""
    byte_of = {character: byte for byte, character in enumerate(byte_characters())}
    return [
        bytes(byte_of[character] for character in token) if set(token) <= byte_of.keys() else token.encode()
        for token in tokens
    ]
