"""Tokenizers of pre-trained encoders: the library's tokens, bytes of our protocol, symbols that no text can spell."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.pretrained_folders import PAIRS, WORDS, byte_pairs, word_pieces
from tokenizers import pre_tokenizers

from everlong.data import Chunk, Masking, PretrainedTokenizer, Tokenizer, bpe, load_tokenizer
from everlong.data.pretrained import cut_before_space
from everlong.data.sealed import read_sealed, write_sealed
from everlong.errors import DamagedFile, DataError
from everlong.shapes import IGNORE


def ours(library: Any) -> PretrainedTokenizer:
    ids = library.get_vocab(with_added_tokens=True)
    return PretrainedTokenizer(json.loads(library.to_str()), sorted(ids, key=ids.__getitem__))


def rules(kind: str) -> dict[str, Any]:
    return json.loads((word_pieces() if kind == "wordpiece" else byte_pairs()).to_str())


PIECES, BYTES = ours(word_pieces()), ours(byte_pairs())
any_kind = pytest.mark.parametrize("tokenizer", [PIECES, BYTES], ids=lambda tokenizer: tokenizer.name)
any_text = st.text() | st.text(st.sampled_from(" \n\r\t'ase海1_.\u2028\x1c\x85😀́"))


def test_kinds_and_sizes() -> None:
    assert (PIECES.name, PIECES.exact, PIECES.vocab_size) == ("wordpiece", False, len(WORDS))
    assert (BYTES.name, BYTES.exact, BYTES.vocab_size) == ("byte-pairs", True, len(PAIRS))
    assert isinstance(PIECES, Tokenizer)
    assert (PIECES.first, PIECES.last, PIECES.mask) == (2, 3, 4)
    assert (BYTES.first, BYTES.last, BYTES.mask) == (0, 2, len(PAIRS) - 1)


def test_word_pieces_are_counted_as_they_are_written() -> None:
    """Lower case, no accents, one space before each word; filling and cutting to a length are left to tasks."""
    ids = PIECES.encode("The  ships\nSAILED, Naïve 海 xyz " + "at sea " * 9)
    assert PIECES.decode(ids) == " the ships sailed , naive 海 [UNK]" + " at sea" * 9
    assert PIECES.n_bytes(ids) == len(PIECES.decode(ids).encode())
    assert [PIECES.token_bytes[i] for i in ids[:4]] == [b" the", b" ship", b"s", b" sail"]


@given(text=any_text)
def test_byte_pairs_give_back_every_text(text: str) -> None:
    ids = BYTES.encode(text)
    assert BYTES.decode(ids) == text
    assert BYTES.n_bytes(ids) == len(text.encode())


def library_tokens(tokenizer: PretrainedTokenizer, text: str) -> list[int]:
    library = word_pieces() if tokenizer is PIECES else byte_pairs()
    library.no_padding()
    library.no_truncation()
    return library.encode(text, add_special_tokens=False).ids


@any_kind
@given(text=any_text)
def test_tokens_are_the_librarys(tokenizer: PretrainedTokenizer, text: str) -> None:
    assert tokenizer.encode(text) == library_tokens(tokenizer, text)


def test_no_space_is_put_before_a_text_whatever_the_file_says() -> None:
    library = byte_pairs()
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer = ours(library)
    assert library.encode("sea", add_special_tokens=False).ids != tokenizer.encode("sea") == BYTES.encode("sea")
    assert tokenizer.decode(tokenizer.encode("sea")) == "sea"


WORDS_AND_GAPS = st.tuples(
    st.sampled_from(["the", "sea's", "ships", "1.", "海", "\x1cs"]),
    st.sampled_from([" ", "\n", " \n", "\n\n ", " \t"]),
)


@any_kind
@given(words=st.lists(WORDS_AND_GAPS, max_size=30))
def test_cuts_change_no_token(tokenizer: PretrainedTokenizer, words: list[tuple[str, str]]) -> None:
    """Here every stretch of 16 characters has a place to cut, as in real text every one of 65,536 has."""
    text = "".join(word + gap for word, gap in words)
    expected = library_tokens(tokenizer, text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bpe, "SEGMENT", 16)
        assert tokenizer.encode(text) == expected
        assert [i for ids in tokenizer.encode_pieces(text) for i in ids.tolist()] == expected


def test_where_a_text_is_cut() -> None:
    assert cut_before_space("one two  three", 0, 9) == 7
    assert cut_before_space("one two  three", 0, 6) == 3
    assert cut_before_space("one\n two", 0, 5) == 3
    assert cut_before_space("abcdefgh", 0, 5) == 5


@any_kind
def test_a_text_cannot_spell_a_symbol(tokenizer: PretrainedTokenizer) -> None:
    symbols = {tokenizer.first, tokenizer.last, tokenizer.mask}
    ids = tokenizer.encode("[CLS] sea [SEP] [MASK] <s></s><mask>")
    assert not symbols & set(ids)
    assert tokenizer.framed(ids) == [tokenizer.first, *ids, tokenizer.last]


@any_kind
def test_saved_and_loaded_it_is_the_same(tokenizer: PretrainedTokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert (loaded.name, loaded.digest, loaded.exact) == (tokenizer.name, tokenizer.digest, tokenizer.exact)
    assert loaded.encode("The ships, at sea: 海") == tokenizer.encode("The ships, at sea: 海")
    stream = loaded.stream()
    ids = loaded.encode("The ships, at sea: 海")
    assert "".join([stream.push(token) for token in ids] + [stream.flush()]) == loaded.decode(ids)


def test_a_saved_one_without_its_rules_is_damaged(tmp_path: Path) -> None:
    PIECES.save(tmp_path)
    fields = read_sealed(tmp_path / "tokenizer.json")
    write_sealed(tmp_path / "tokenizer.json", {**fields, "rules": {}})
    with pytest.raises(DamagedFile, match="has no usable vocabulary"):
        load_tokenizer(tmp_path)


@any_kind
def test_what_is_not_its_own_is_refused(tokenizer: PretrainedTokenizer) -> None:
    with pytest.raises(DataError, match="is outside the vocabulary of"):
        tokenizer.decode([tokenizer.vocab_size])
    with pytest.raises(DataError, match="is half a character"):
        tokenizer.encode("ab\ud83d")


def test_words_may_be_hidden_whole() -> None:
    """Spaces before words say where they begin, in a vocabulary that writes none."""
    masking = Masking(PIECES, mask_token=len(WORDS), rate=0.5, unit="word")
    tokens = torch.tensor([PIECES.encode("ships sailed " * 20)])
    chunk = Chunk(
        tokens=tokens, targets=tokens, starts=torch.zeros_like(tokens, dtype=torch.bool), lengths=torch.tensor([80])
    )
    asked = (masking.hide(chunk, [(0,)]).targets != IGNORE).view(40, 2)
    assert torch.equal(asked[:, 0], asked[:, 1])
    assert 0 < int(asked.sum()) < 80


def test_other_kinds_are_refused() -> None:
    unigram = {**rules("wordpiece"), "model": {"type": "Unigram"}, "pre_tokenizer": None}
    with pytest.raises(DataError, match="is of kind Unigram after None; known are WordPiece as in BERT"):
        PretrainedTokenizer(unigram, WORDS)
    with pytest.raises(DataError, match=r"has neither .*Give the vocabulary of a masked-language model"):
        PretrainedTokenizer(rules("wordpiece"), WORDS[4:])
    with pytest.raises(DataError, match="has no token for 'ÿ', one of the characters that stand for bytes"):
        PretrainedTokenizer(rules("byte-pairs"), [token for token in PAIRS if token != "ÿ"])
