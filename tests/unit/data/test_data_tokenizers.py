import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everlong.data import BPETokenizer, ByteTokenizer, Tokenizer, bpe, load_tokenizer
from everlong.data.bpe import WORDS, segments
from everlong.data.bytelevel import byte_characters, token_dtype
from everlong.data.sealed import write_sealed
from everlong.errors import ConfigError, DamagedFile, DataError, RunError

CORPUS = [
    "The river remembers the rain, and the rain remembers the river. 1894, 1895!\n\n  She'd said: 'remember_me'.\n",
    "大江东去，浪淘尽，千古风流人物。大江东去。\n却说黛玉自那日弃舟登岸时😀😀",
]
LEARNED = BPETokenizer.train(CORPUS * 3, vocab_size=400)
TOKENIZERS: list[Tokenizer] = [ByteTokenizer(), LEARNED]

any_tokenizer = pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=lambda tokenizer: tokenizer.name)
any_text = st.text() | st.text(st.sampled_from(" \n\r\t'ab龍大江1_.\u2028\x1c😀")) | st.sampled_from(CORPUS)


def pieces_of(text: str, cuts: Sequence[int]) -> list[str]:
    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return [text[begin:end] for begin, end in pairwise(places)]


@any_tokenizer
@given(text=any_text)
def test_decoding_undoes_encoding(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert isinstance(ids, list)
    assert all(0 <= token < tokenizer.vocab_size for token in ids)
    assert tokenizer.decode(ids) == text
    assert tokenizer.n_bytes(ids) == len(text.encode())
    assert tokenizer.byte_lengths[ids].sum() == len(text.encode())


@any_tokenizer
@given(text=any_text, cuts=st.lists(st.integers(0, 1000), max_size=6))
def test_cuts_between_pieces_change_no_token(tokenizer: Tokenizer, text: str, cuts: list[int]) -> None:
    arrays = list(tokenizer.encode_pieces(pieces_of(text, cuts)))
    assert [token for array in arrays for token in array.tolist()] == tokenizer.encode(text)
    assert {array.dtype for array in arrays} <= {token_dtype(tokenizer.vocab_size)}


@any_tokenizer
@given(data=st.data())
def test_streaming_any_tokens_is_decoding_them(tokenizer: Tokenizer, data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=30))
    stream = tokenizer.stream()
    assert "".join([stream.push(token) for token in ids] + [stream.flush()]) == tokenizer.decode(ids)
    assert stream.flush() == "", "a flushed stream is as new"


@any_tokenizer
@given(text=any_text)
def test_streaming_never_shows_half_a_character(tokenizer: Tokenizer, text: str) -> None:
    stream, shown = tokenizer.stream(), ""
    for token in tokenizer.encode(text):
        shown += stream.push(token)
        assert text.startswith(shown)
    assert stream.flush() == ""
    assert shown == text


def test_an_unfinished_character_is_held_back_until_the_end() -> None:
    stream = ByteTokenizer().stream()
    assert [stream.push(byte) for byte in "龍".encode()] == ["", "", "龍"]
    assert stream.push("龍".encode()[0]) == ""
    assert stream.flush() == "\ufffd"
    assert stream.push(ord("a")) == "a"


@any_tokenizer
def test_a_token_outside_the_vocabulary_is_refused(tokenizer: Tokenizer) -> None:
    for token in (-1, tokenizer.vocab_size):
        wording = rf"token {token} is outside the vocabulary of {tokenizer.vocab_size}.*model was trained with"
        with pytest.raises(DataError, match=wording):
            tokenizer.decode([0, token])
        with pytest.raises(DataError, match=wording):
            tokenizer.n_bytes(np.array([token]))
        with pytest.raises(DataError, match=wording):
            tokenizer.stream().push(token)


@any_tokenizer
def test_half_a_character_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match=r"character 2 of the text is half a character \(a lone surrogate\).*replace"):
        tokenizer.encode("ab\ud83d")


@any_tokenizer
def test_no_text_has_no_tokens(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("") == []
    assert tokenizer.decode([]) == ""
    assert tokenizer.n_bytes([]) == 0


@any_tokenizer
def test_saved_and_loaded_it_is_the_same(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert type(loaded) is type(tokenizer)
    assert (loaded.digest, loaded.vocab_size) == (tokenizer.digest, tokenizer.vocab_size)
    assert [loaded.encode(text) for text in CORPUS] == [tokenizer.encode(text) for text in CORPUS]
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]


@any_tokenizer
def test_saving_to_no_folder_says_so(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"cannot write .*tokenizer\.json"):
        tokenizer.save(tmp_path / "nowhere")


def test_training_learns_words_and_repeats_itself() -> None:
    assert LEARNED.vocab_size <= 400
    assert len(LEARNED.encode(CORPUS[0])) < len(CORPUS[0]) / 3
    assert len(LEARNED.encode(CORPUS[1])) < len(CORPUS[1].encode()) / 3
    assert BPETokenizer.train(CORPUS * 3, vocab_size=400).digest == LEARNED.digest
    assert BPETokenizer.train(CORPUS * 3, vocab_size=300).digest != LEARNED.digest
    assert ByteTokenizer().digest not in {LEARNED.digest, ""}


def test_training_reads_no_further_than_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpe, "SEGMENT", 8)

    def texts() -> Iterator[str]:
        yield "aaaa bbbb cccc"
        raise AssertionError("read on")

    limited = BPETokenizer.train(texts(), vocab_size=300, limit=5)
    assert limited.encode("aaaa") != list(b"aaaa")
    assert len(limited.encode("bbbb")) == 4
    monkeypatch.setattr(bpe, "DISTINCT", 3)
    BPETokenizer.train(texts(), vocab_size=300)


def test_training_refuses_what_cannot_work() -> None:
    with pytest.raises(ConfigError, match=r"vocab_size=255 has no room for the 256 bytes\. Choose 256 or more"):
        BPETokenizer.train(CORPUS, vocab_size=255)
    with pytest.raises(ConfigError, match="limit=0 leaves no text"):
        BPETokenizer.train(CORPUS, vocab_size=300, limit=0)
    with pytest.raises(DataError, match="there is no text to train a tokenizer on"):
        BPETokenizer.train(["", ""], vocab_size=300)
    with pytest.raises(DataError, match="half a character"):
        BPETokenizer.train(["fine ", "\udc00"], vocab_size=300)


@given(any_text)
def test_words_lose_nothing(text: str) -> None:
    assert "".join(WORDS.findall(text)) == text


@given(any_text, st.lists(st.integers(0, 1000), max_size=6), st.integers(1, 12))
def test_segments_depend_on_the_text_alone_and_cut_no_word(text: str, cuts: list[int], size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bpe, "SEGMENT", size)
        whole = list(segments([text]))
        assert list(segments(pieces_of(text, cuts))) == whole
    assert "".join(whole) == text
    assert all(0 < len(segment) <= size for segment in whole)
    if all(len(segment) < size for segment in whole[:-1]):  # no stretch had to be cut for its length
        assert [word for segment in whole for word in WORDS.findall(segment)] == WORDS.findall(text)


def test_the_table_of_words_starts_anew_when_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpe, "CACHED", 4)
    monkeypatch.setattr(bpe, "SEGMENT", 6)
    text = "".join(CORPUS)
    assert LEARNED.decode(LEARNED.encode(text)) == text


def test_the_table_of_bytes_is_that_of_gpt2() -> None:
    characters = byte_characters()
    assert len(set(characters)) == 256
    assert [characters[byte] for byte in b" \n\x00A~\xad\xff"] == ["Ġ", "Ċ", "Ā", "A", "~", "Ń", "ÿ"]


@pytest.mark.parametrize(("size", "name"), [(1, "u1"), (256, "u1"), (257, "u2"), (65536, "u2"), (65537, "u4")])
def test_tokens_are_stored_as_small_as_they_fit(size: int, name: str) -> None:
    assert token_dtype(size) == np.dtype("<" + name)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DamagedFile, match=r"cannot read .*tokenizer\.json: No such file.*Check the path"):
        load_tokenizer(tmp_path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    LEARNED.save(tmp_path)
    path = tmp_path / "tokenizer.json"
    whole = path.read_bytes()
    for damaged, wording in [
        (whole[:-50], r"tokenizer\.json is not JSON \(.*\)\. Use another copy of it"),
        (b"\xff" + whole, r"tokenizer\.json is not JSON"),
        (whole.replace(b'"t"', b'"u"', 1), "contents do not match their checksum.*another copy"),
        (whole.replace(b'"format": 1', b'"format": 2'), "has format 2; this version reads format 1"),
        (b'{"kind": "byte"}', "has no format and seal: it is damaged, or not"),
        (b"[]", "has no format and seal: it is damaged, or not"),
        (b"[" * 100_000, "is not JSON"),
    ]:
        path.write_bytes(damaged)
        with pytest.raises(DamagedFile, match=wording):
            load_tokenizer(tmp_path)


def test_any_flipped_bit_of_a_file_is_noticed(tmp_path: Path) -> None:
    ByteTokenizer().save(tmp_path)
    path = tmp_path / "tokenizer.json"
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        if path.read_text(errors="replace").split() != whole.decode().split():
            with pytest.raises(DamagedFile):
                load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("fields", "wording"),
    [
        ({"kind": "letter"}, "has a tokenizer of kind 'letter'; known are byte, bpe, word, wordpiece and byte-pairs"),
        ({"kind": "word", "words": "a b"}, r"has no usable vocabulary \(its words are no list of different words"),
        ({"kind": "word", "words": ["a"]}, "are no list of different words that begins with <unknown>"),
        ({"kind": "word", "words": ["<unknown>", "a", "a"]}, r"has no usable vocabulary"),
        ({"kind": "word", "words": ["<unknown>", 3]}, r"has no usable vocabulary"),
        ({"kind": "bpe"}, "has no usable vocabulary"),
        ({"kind": "bpe", "tokens": ["a", "\n"], "merges": []}, "has no usable vocabulary"),
        ({"kind": "bpe", "tokens": ["a"], "merges": [["a", "b"]]}, "has no usable vocabulary"),
    ],
)
def test_a_sealed_file_that_is_no_tokenizer_is_refused(tmp_path: Path, fields: dict[str, object], wording: str) -> None:
    write_sealed(tmp_path / "tokenizer.json", fields)
    with pytest.raises(DamagedFile, match=wording):
        load_tokenizer(tmp_path)


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    LEARNED.save(tmp_path)
    fields = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    assert (fields["format"], fields["kind"], len(fields["tokens"])) == (1, "bpe", LEARNED.vocab_size)
