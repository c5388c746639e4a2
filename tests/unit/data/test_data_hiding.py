"""Sentences hidden in noise: where they stand, what is asked, and what does not fit."""

from collections import Counter

import pytest

from everlong.data.synthetic import Passkey, generator
from everlong.data.synthetic.hiding import NOISE, hide, noise, vocabulary
from everlong.data.synthetic.rules import Episode
from everlong.data.words import WordTokenizer
from everlong.errors import ConfigError
from everlong.shapes import IGNORE


def said(words: WordTokenizer, episode: Episode) -> str:
    """What is shown, in words."""
    return words.decode(episode.inputs.tolist()).strip()


def answers(words: WordTokenizer, episode: Episode) -> dict[int, str]:
    """What is asked for, by the place that asks."""
    return {n: words.words[target] for n, target in enumerate(episode.targets.tolist()) if target != IGNORE}


@pytest.mark.parametrize(("room", "sentences"), [(0, 0), (4, 0), (5, 1), (18, 3), (19, 4), (23, 4), (24, 5), (29, 6)])
def test_as_much_noise_as_fits(room: int, sentences: int) -> None:
    words = vocabulary()
    found = noise(words, room=room)
    assert len(found) == sentences
    assert [words.decode(sentence).strip() for sentence in found] == [
        " ".join(words.words[token] for token in words.encode(NOISE[n % 5])) for n in range(sentences)
    ]


def test_a_hidden_sentence_stands_at_every_place_as_often() -> None:
    places = Counter[int]()
    for n in range(1100):
        tokens, (depth,) = hide(generator(n), [[99]], [[k, k] for k in range(10)])
        place = tokens.index(99) // 2
        assert [token for token in tokens if token != 99] == [k for k in range(10) for _ in range(2)]
        assert depth == 10 * max(1, place)
        places[place] += 1
    assert set(places) == set(range(11))
    assert max(places.values()) < 150
    assert min(places.values()) > 60


def test_several_hidden_sentences_keep_their_order() -> None:
    for n in range(50):
        tokens, depths = hide(generator(n), [[97], [98], [99]], [[1], [2]])
        assert [token for token in tokens if token > 90] == [97, 98, 99]
        assert [token for token in tokens if token < 90] == [1, 2]
        assert depths == sorted(depths)
    assert hide(generator(0), [[97], [98]], []) == ([97, 98], [10, 10])


def test_a_passkey_is_asked_for_digit_by_digit() -> None:
    rules = Passkey(digits=3, length=31 + 5)
    assert rules.needed == 31
    texts = set[str]()
    for n in range(60):
        episode = rules.draw(generator(n), {"length": 36})
        text = said(rules.words, episode)
        key = text.partition("pass key is ")[2][:5]
        needle = f"the pass key is {key} . remember it . {key} is the pass key ."
        question = f"what is the pass key ? the pass key is {key[:3]}"
        green = "the grass is green ."
        assert text in (f"{needle} {green} {question}", f"{green} {needle} {question}")
        assert answers(rules.words, episode) == dict(zip((33, 34, 35), key.split(" "), strict=True))
        assert episode.marks is not None
        assert episode.marks[33:].tolist() == [100 if text.startswith(green) else 10] * 3
        texts.add(text)
    assert len(texts) > 50


def test_passkeys_differ_between_sequences_and_lengths_are_kept() -> None:
    rules = Passkey()
    lengths = {
        len(rules.draw(generator(n), sizes).inputs) - sizes["length"] for sizes in rules.trials() for n in (0, 1)
    }
    assert all(-5 < length <= 0 for length in lengths)
    assert [sizes["length"] for sizes in rules.trials()] == [128, 256, 512, 1024, 2048]
    digits = Counter(
        digit for n in range(200) for digit in answers(rules.words, rules.draw(generator(n), rules.largest)).values()
    )
    assert set(digits) == set("0123456789")
    assert min(digits.values()) > 70


@pytest.mark.parametrize(
    ("rules", "fields", "message"),
    [
        (Passkey, {"length": 36}, "takes 37 tokens; give length=37 or more"),
        (Passkey, {"digits": 0}, "digits = 0 does not fit"),
    ],
)
def test_what_does_not_fit_is_refused(rules: type[Passkey], fields: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rules(**fields)
