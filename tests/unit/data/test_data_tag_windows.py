"""Words in tokens and in windows: every tag asked once, of the word's first token, whatever the tokenizer."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.data.test_data_pretrained import PIECES
from tests.unit.data.test_data_tokenizers import LEARNED

from everlong.data import ByteTokenizer, Tokenizer
from everlong.data.spelling import Spelling, find_words
from everlong.data.tag_windows import collate_tags, tag_windows
from everlong.errors import DataError
from everlong.shapes import IGNORE

BYTES = ByteTokenizer()
all_kinds = pytest.mark.parametrize("tokenizer", [BYTES, LEARNED, PIECES], ids=lambda tokenizer: tokenizer.name)


def found(text: str, *, by_character: bool = False) -> list[str]:
    return [word.group() for word in find_words(text, by_character=by_character)]


def test_words_of_a_text() -> None:
    assert found("Dr. O'Neill's U.N. envoy (Franco-German), 1,000.5 AT&T!") == [
        *("Dr", ".", "O'Neill's", "U.N", ".", "envoy", "(", "Franco-German", ")", ",", "1,000.5", "AT&T", "!"),
    ]  # fmt: skip
    assert found("他在2024年来了，iPhone手机。") == [*"他在", "2024", *"年来了，", "iPhone", *"手机。"]
    assert found("于 1963年\n", by_character=True) == list("于1963年")


def test_between_words_is_a_space_and_nothing_beside_chinese() -> None:
    words = Spelling(BYTES, by_character=False)
    assert "".join(words.pieces(["EU", "rejects", "“", "it", "”"])) == "EU rejects “ it ”"
    assert "".join(words.pieces(["他", "买", "了", "iPhone", "手", "机", "。"])) == "他买了iPhone手机。"
    assert "".join(Spelling(BYTES, by_character=True).pieces("于1963年")) == "于1963年"


@all_kinds
@given(words=st.lists(st.text("ab\u00ad海İß-", min_size=1, max_size=5), min_size=1, max_size=12))
def test_every_word_has_tokens_of_its_own(tokenizer: Tokenizer, words: list[str]) -> None:
    spelling = Spelling(tokenizer, by_character=False)
    tokens, firsts = spelling.tokens(words)
    assert len(firsts) == len(set(firsts)) == len(words)
    assert firsts == sorted(firsts)
    parts = [tokens[begin:end] for begin, end in pairwise([*firsts, len(tokens)])]
    if tokenizer.exact:
        assert tokenizer.decode(tokens) == "".join(spelling.pieces(words))
        assert [tokenizer.decode(part).strip(" ") for part in parts] == words


@all_kinds
@given(
    words=st.lists(st.text("abc海", min_size=1, max_size=9), min_size=1, max_size=30),
    width=st.sampled_from([0, 3, 5, 8, 21]),
    data=st.data(),
)
def test_every_tag_is_asked_once_and_in_order(
    tokenizer: Tokenizer, words: list[str], width: int, data: st.DataObject
) -> None:
    begins = sorted({0, *data.draw(st.lists(st.integers(0, len(words) - 1), max_size=3))})
    spelling = Spelling(tokenizer, by_character=False)
    tags = list(range(len(words)))
    windows = list(tag_windows(words, begins, tags, spelling, width=width))
    tokens, firsts = spelling.tokens(words)
    asked = [target for one in windows for target in one["targets"].tolist() if target != IGNORE]
    of = [int(token) for one in windows for token in one["tokens"][one["targets"] != IGNORE]]
    assert (asked, of) == (tags, [tokens[first] for first in firsts])
    assert [one["window"].tolist() for one in windows] == [[n] for n in range(len(windows))]
    before, after = spelling.symbols
    for one in windows:
        assert not width or len(one["tokens"]) <= width
        assert one["tokens"].tolist()[: len(before)] == before
        assert one["tokens"].tolist()[len(one["tokens"]) - len(after) :] == after
        assert one["sections"][0] == 0
        begun = set(one["targets"][one["sections"][1:]].tolist())
        assert begun <= {*begins, IGNORE}
    if not width:
        assert len(windows[0]["sections"]) == len(begins)


def test_a_text_in_windows_by_hand() -> None:
    spelling = Spelling(BYTES, by_character=False)
    one, two = tag_windows(["ab", "cde", "f"], [0, 2], [5, 6, 7], spelling, width=6)
    assert BYTES.decode(one["tokens"]) == "ab cde"
    assert BYTES.decode(two["tokens"]) == " cde f"
    assert one["targets"].tolist() == [5, IGNORE, IGNORE, 6, IGNORE, IGNORE]
    assert two["targets"].tolist() == [IGNORE] * 5 + [7]
    assert (one["sections"].tolist(), two["sections"].tolist()) == ([0], [0, 5])
    batch = collate_tags([one, *tag_windows(["a"], [0], [1], spelling, width=0)])
    assert (batch.lengths.tolist(), batch.n_targets, batch.n_tokens) == ([6, 1], 3, 7)
    assert torch.equal(batch.targets[1], torch.tensor([1] + [IGNORE] * 5))
    assert batch.sections.nonzero().tolist() == [[0, 0], [1, 0]]


def test_a_word_that_the_rules_leave_nothing_of_is_read_all_the_same() -> None:
    (window,) = tag_windows(["a", "\u00ad", "b"], [0], [1, 2, 0], Spelling(PIECES, by_character=False), width=0)
    assert window["targets"][window["targets"] != IGNORE].tolist() == [1, 2, 0]
    assert len(window["tokens"]) == 5
    assert np.array_equal(window["tokens"][[0, -1]], PIECES.framed([]))


def test_a_width_without_room() -> None:
    with pytest.raises(
        DataError, match=r"width=2 leaves no room for words between the 2 symbols around them\. Give more"
    ):
        list(tag_windows(["a"], [0], [0], Spelling(PIECES, by_character=False), width=2))
