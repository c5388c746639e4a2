from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everlong.data import BPETokenizer, ByteTokenizer, Document, Passages, TokenStore
from everlong.data.passages import CHINESE, ENGLISH, RESERVED, chinese_share, scattered, together

StoreMaker = Callable[[Sequence[str]], TokenStore]
BYTES = ByteTokenizer()
NOVEL = "Call me Ishmael. Some years ago, never mind how long precisely, I went to sea. " * 20
小说 = "话说天下大势，分久必合，合久必分。周末七国分争，并入于秦。" * 20


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_an_english_passage_tells_codes_in_the_text_of_the_corpus_and_asks_for_them(make_store: StoreMaker) -> None:
    passages = Passages(make_store([NOVEL]), BYTES, chunk=64)
    for seed in range(20):
        passage = passages.draw(rng(seed), length=300, facts=3)
        text = BYTES.decode(passage.tokens)
        assert len(passage.answers) == 3
        rest = text
        for answer in passage.answers:
            code = BYTES.decode(passage.tokens[answer.begin : answer.end])
            told = passage.tokens[answer.begin - answer.distance : answer.end - answer.distance]
            assert BYTES.decode(told) == code
            line = BYTES.decode(passage.tokens[: answer.begin]).rpartition("\n")[2]
            key = line.removeprefix("What is the code of ").removesuffix("? It is")
            assert text.count(f"\nThe code of {key} is{code}.\n") == 1
            assert text.count(f"\nWhat is the code of {key}? It is{code}.\n") == 1
            assert text.index(f"\nThe code of {key}") < text.index(f"\nWhat is the code of {key}")
            for sentence in (f"\nThe code of {key} is{code}.\n", f"\nWhat is the code of {key}? It is{code}.\n"):
                rest = rest.replace(sentence, "")
        assert rest in NOVEL
        assert 280 < len(rest) <= 300


def test_a_chinese_corpus_has_chinese_passages_of_whole_characters(make_store: StoreMaker) -> None:
    passages = Passages(make_store([小说]), BYTES, chunk=64)
    for seed in range(20):
        passage = passages.draw(rng(seed), facts=2)
        text = BYTES.decode(passage.tokens)
        assert "\ufffd" not in text, "no character is cut"
        assert text.count("的密码是") == 4
        assert text.count("的密码是多少？是") == 2
        for answer in passage.answers:
            assert BYTES.decode(passage.tokens[answer.begin : answer.end]).isdigit()


def test_passages_are_made_of_the_tokens_of_any_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> None:
    tokenizer = BPETokenizer.train([NOVEL], vocab_size=300)
    store = TokenStore.build([Document("novel", NOVEL)], tokenizer, tmp_path_factory.mktemp("bpe") / "store")
    passage = Passages(store, tokenizer, chunk=32).draw(rng(), facts=2)
    assert tokenizer.decode(passage.tokens).count("The code of ") == 2
    for answer in passage.answers:
        code = tokenizer.decode(passage.tokens[answer.begin : answer.end])
        assert len(code) == len(" 1234")
        assert code[1:].isdigit()


@given(st.integers(0, 1000), st.integers(1, 9), st.integers(1, 200))
def test_a_fact_is_told_before_it_is_asked_for(seed: int, facts: int, length: int) -> None:
    for arrange in (together, scattered):
        order, cuts = arrange(rng(seed), facts, length)
        assert sorted(order) == sorted([*range(facts)] * 2)
        assert cuts == sorted(cuts)
        assert 0 <= cuts[0] <= cuts[-1] <= length
    order, cuts = together(rng(seed), facts, length)
    assert order[:facts] == [*range(facts)]
    assert cuts == [0] * facts + [length] * facts


def test_keys_that_are_measured_are_never_trained_on(make_store: StoreMaker) -> None:
    store = make_store([NOVEL])
    keys: list[set[str]] = []
    for measured in (False, True):
        passages = Passages(store, BYTES, chunk=64, measured=measured)
        texts = "".join(BYTES.decode(passages.draw(rng(seed), length=9, facts=9).tokens) for seed in range(50))
        keys.append({part.partition("?")[0] for part in texts.split("What is the code of ")[1:]})
    assert not keys[0] & keys[1]
    assert keys[1] <= {ENGLISH.key(number) for number in range(0, len(ENGLISH.parts) ** 3, RESERVED)}
    assert min(map(len, keys)) > 400


def test_keys_of_different_numbers_differ() -> None:
    for wording in (ENGLISH, CHINESE):
        assert len({wording.key(number) for number in range(len(wording.parts) ** 3)}) == len(wording.parts) ** 3


def test_lengths_spread_over_their_range_and_facts_go_with_them(make_store: StoreMaker) -> None:
    passages = Passages(make_store([NOVEL * 2]), BYTES, chunk=100)
    drawn = [passages.draw(rng(seed)) for seed in range(300)]
    facts = np.array([len(passage.answers) for passage in drawn])
    lengths = np.array([len(passage.tokens) for passage in drawn]) - 72 * facts
    assert lengths.min() < 70
    assert lengths.max() > 1400
    assert np.log(lengths).mean() == pytest.approx(np.log(100 * 8**0.5), abs=0.3), "their logarithms are uniform"
    assert facts.min() == 1
    assert facts.max() > 12
    assert (facts <= np.maximum(1, lengths / 64 + 1)).all()


def test_the_language_is_that_of_most_letters() -> None:
    texts = ["only Latin 123。。", "只有汉字", "half一半"]
    shares = [chinese_share(np.frombuffer(text.encode(), np.uint8), BYTES) for text in texts]
    assert shares == [pytest.approx(2 / 11), 1.0, pytest.approx(2 / 6)]
