"""Where in a text each token comes from: the same tokens, and characters that spell them."""

import json
import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pretrained_folders import byte_pairs
from tests.unit.data.test_data_pretrained import BYTES as PRETRAINED_PAIRS
from tests.unit.data.test_data_pretrained import PIECES, ours
from tests.unit.data.test_data_tokenizers import LEARNED, any_text
from tokenizers import normalizers

from everlong.data import ByteTokenizer, Tokenizer, bpe
from everlong.data.words import UNKNOWN, WordTokenizer
from everlong.errors import DataError

EXACT: list[Tokenizer] = [ByteTokenizer(), LEARNED, PRETRAINED_PAIRS]
WORDS = WordTokenizer.of(["mary", "went", "iστος", "船"])
exact_ones = pytest.mark.parametrize("tokenizer", EXACT, ids=lambda tokenizer: tokenizer.name)
all_kinds = pytest.mark.parametrize("tokenizer", [*EXACT, PIECES, WORDS], ids=lambda tokenizer: tokenizer.name)


def parts(tokenizer: Tokenizer, text: str) -> list[tuple[str, str]]:
    """Each token as it is written, and the characters that it comes from."""
    found = tokenizer.locate(text)
    places = zip(found.tokens, found.begins.tolist(), found.ends.tolist(), strict=True)
    return [(tokenizer.token_bytes[token].decode(errors="replace"), text[a:b]) for token, a, b in places]


@all_kinds
@given(text=any_text | st.text(st.sampled_from("AÉİßﬁΣ海ship sea,\n")))
def test_tokens_are_those_of_encoding_and_in_order(tokenizer: Tokenizer, text: str) -> None:
    found = tokenizer.locate(text)
    assert found.tokens == tokenizer.encode(text)
    assert len(found.begins) == len(found.ends) == len(found.tokens)
    assert np.all(found.begins < found.ends)
    assert np.all(np.diff(found.begins) >= 0)
    assert np.all(np.diff(found.ends) >= 0)
    assert found.ends.max(initial=0) <= len(text)


@exact_ones
@given(text=any_text)
def test_slow_twin_where_tokens_are_the_bytes(tokenizer: Tokenizer, text: str) -> None:
    """Byte by byte: a token comes from the characters that its first and its last byte are of."""
    of_byte = [number for number, character in enumerate(text) for _ in character.encode()]
    found, at = tokenizer.locate(text), 0
    for token, begin, end in zip(found.tokens, found.begins.tolist(), found.ends.tolist(), strict=True):
        size = len(tokenizer.token_bytes[token])
        assert (begin, end) == (of_byte[at], of_byte[at + size - 1] + 1)
        at += size


def test_tokens_that_share_a_character_all_come_from_it() -> None:
    found = ByteTokenizer().locate("a海b")
    assert found.begins.tolist() == [0, 1, 1, 1, 2]
    assert found.ends.tolist() == [1, 2, 2, 2, 3]
    assert [place for _, place in parts(PRETRAINED_PAIRS, "sea海 sea")] == ["sea", "海", "海", "海", " sea"]


def test_what_word_pieces_come_from_is_as_it_was_written() -> None:
    """Capitals, accents and spaces that the tokenizer drops are in the text; a word it does not know is one token."""
    assert parts(PIECES, "The  SHIPS, NaÏve海xyzzy at") == [
        (" the", "The"), (" ship", "SHIP"), ("s", "S"), (" ,", ","), (" naive", "NaÏve"), (" 海", "海"),
        (" [UNK]", "xyzzy"), (" at", "at"),
    ]  # fmt: skip
    apart = unicodedata.normalize("NFD", "naïve sea")
    assert len(apart) == 10
    assert parts(PIECES, apart) == [(" naive", apart[:6]), (" sea", "sea")]


def test_a_long_text_is_cut_and_places_are_counted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpe, "SEGMENT", 8)
    assert parts(PIECES, "the ship 海 at sea, naïve ships")[-3:] == [(" naive", "naïve"), (" ship", "ship"), ("s", "s")]


def test_byte_pairs_after_a_normalizer() -> None:
    library: Any = byte_pairs()
    library.normalizer = normalizers.NFKC()
    tokenizer = ours(library)
    assert not tokenizer.exact
    assert json.loads(library.to_str())["normalizer"]
    assert parts(tokenizer, "sea ﬁsea") == [("sea", "sea"), (" ", " "), ("f", "ﬁ"), ("i", "ﬁ"), ("sea", "sea")]


def test_words_whose_lower_case_is_longer() -> None:
    assert parts(WORDS, "İİ Mary, ΙΣΤΟΣ 船.") == [
        (f"{UNKNOWN} ", "İ"), (f"{UNKNOWN} ", "İ"), (f"{UNKNOWN} ", "İ"), (f"{UNKNOWN} ", "İ"), ("mary ", "Mary"),
        (f"{UNKNOWN} ", ","), (f"{UNKNOWN} ", "ΙΣΤΟΣ"), ("船 ", "船"), (f"{UNKNOWN} ", "."),
    ]  # fmt: skip


@all_kinds
def test_nothing_and_half_characters(tokenizer: Tokenizer) -> None:
    found = tokenizer.locate("")
    assert (found.tokens, len(found.begins), len(found.ends)) == ([], 0, 0)
    with pytest.raises(DataError, match=r"character 1 of the text is half a character"):
        tokenizer.locate("a\ud800")
