from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reference.rarity import scores

from everlong.data import BPETokenizer, ByteTokenizer, Document, TokenStore, document_scores, rarity
from everlong.errors import DataError

StoreMaker = Callable[[Sequence[str]], TokenStore]
BYTES = ByteTokenizer()
TALES = [
    "Ahab saw a whale, and a ship saw Ahab; a ship and a whale",
    "龙来了。龙去了，龍又来了。",
    "a a a a a a a Queequeg9 née a a a Queequeg9 née",
    "so",
    "a whale é龙é whale a ",
]


@pytest.fixture(autouse=True)
def one_in_eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few words are rare in a corpus of a few words otherwise."""
    monkeypatch.setattr(rarity, "RARE", 8)


@pytest.mark.parametrize("gap", [0, 3, 20])
def test_scores_are_what_counting_word_by_word_gives(make_store: StoreMaker, gap: int) -> None:
    expected = scores([[bytes([byte]) for byte in text.encode()] for text in TALES], gap=gap, rare=8)
    assert document_scores(make_store(TALES), BYTES, gap=gap).tolist() == pytest.approx(expected, rel=1e-12)


@given(st.lists(st.text("ab龙 .é", min_size=1, max_size=30), min_size=1, max_size=5), st.integers(0, 9))
def test_scores_of_any_text(make_store: StoreMaker, texts: list[str], gap: int) -> None:
    texts = [*texts, "x " + "zz " * 30 + "x"]
    expected = scores([[bytes([byte]) for byte in text.encode()] for text in texts], gap=gap, rare=8)
    assert document_scores(make_store(texts), BYTES, gap=gap).tolist() == pytest.approx(expected, rel=1e-12)


def test_distances_are_in_tokens_and_words_are_the_same_for_any_tokenizer(tmp_path: Path) -> None:
    tokenizer = BPETokenizer.train(TALES * 5, vocab_size=280)
    documents = [Document(str(n), text) for n, text in enumerate(TALES)]
    store = TokenStore.build(documents, tokenizer, tmp_path / "store")
    tokens = [[tokenizer.token_bytes[token] for token in tokenizer.encode(text)] for text in TALES]
    expected = scores(tokens, gap=4, rare=8)
    assert document_scores(store, tokenizer, gap=4).tolist() == pytest.approx(expected, rel=1e-12)


def test_a_word_of_another_block_was_not_there(make_store: StoreMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(["cat" + " a" * 12 + " cat", "dog a dog" + " a" * 20])
    near, far = document_scores(store, BYTES, gap=2).tolist()
    assert near > 1.0
    assert far > 1.0
    monkeypatch.setattr(rarity, "BLOCK", 28)
    assert np.array_equal(document_scores(store, BYTES, gap=2) > 1, [False, True])


def test_a_corpus_in_which_nothing_comes_back_is_refused(make_store: StoreMaker) -> None:
    with pytest.raises(
        DataError, match=r"no rare word of any document comes back after more than 99 tokens.*favour at 0"
    ):
        document_scores(make_store(TALES), BYTES, gap=99)
