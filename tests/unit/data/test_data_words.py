from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everlong.data import Tokenizer, load_tokenizer
from everlong.data.words import UNKNOWN, WordTokenizer, split_words
from everlong.errors import DataError

WORDS = WordTokenizer.of(["mary", "went", ".", "-", "mary", "船"])


def test_words_have_ids_in_the_order_of_the_alphabet_after_the_unknown_one() -> None:
    assert WORDS.words == (UNKNOWN, "-", ".", "mary", "went", "船")
    assert WORDS.encode("Mary  WENT 船, north.") == [3, 4, 5, 0, 0, 2]
    assert isinstance(WORDS, Tokenizer)


def test_decoding_puts_a_space_after_each_word() -> None:
    assert WORDS.decode([3, 4, 2]) == "mary went . "
    stream = WORDS.stream()
    assert "".join(stream.push(i) for i in (3, 0, 5)) + stream.flush() == f"mary {UNKNOWN} 船 "
    assert WORDS.n_bytes([3, 5]) == len("mary 船 ".encode()) == WORDS.byte_lengths[[3, 5]].sum()
    with pytest.raises(DataError, match="token 6 is outside the vocabulary of 6"):
        WORDS.decode([6])


def test_no_text_has_the_unknown_word() -> None:
    assert split_words(UNKNOWN) == ["<", "unknown", ">"]
    assert WORDS.encode(UNKNOWN) == [0, 0, 0]


@given(st.text("may went.- \n船", max_size=40), st.lists(st.integers(0, 40), max_size=5))
def test_cuts_change_nothing(text: str, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(edges)]
    assert [i for ids in WORDS.encode_pieces(pieces) for i in ids.tolist()] == WORDS.encode(text)


def test_half_a_character_is_refused() -> None:
    with pytest.raises(DataError, match="half a character"):
        WORDS.encode("\ud800")


def test_it_is_saved_beside_a_model(tmp_path: Path) -> None:
    WORDS.save(tmp_path)
    found = load_tokenizer(tmp_path)
    assert isinstance(found, WordTokenizer)
    assert (found.words, found.digest) == (WORDS.words, WORDS.digest)
    assert found.digest != WordTokenizer.of(["mary"]).digest
