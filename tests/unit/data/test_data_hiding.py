"""Sentences hidden in noise: where they stand, what is asked, and what does not fit."""

import math
import re
from collections import Counter
from typing import Any

import pytest
from tests.reference.variables import answers as run_statements

from everlong.data.synthetic import Needle, Passkey, VariableTracking, generator
from everlong.data.synthetic.hiding import NOISE, HidingRules, hide, noise, vocabulary
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


@pytest.mark.parametrize("background", ["noise", "needles"])
def test_a_needle_is_found_by_its_key(background: str) -> None:
    rules = Needle(length=260, n_keys=3, n_values=2, n_queries=2, background=background, symbols=10)
    order = set[tuple[int, ...]]()
    for n in range(40):
        episode = rules.draw(generator(n), {"length": 260})
        text = said(rules.words, episode)
        found = re.findall(r"one of the special magic numbers for (key\d) is : (\d+) \.", text)
        questions = re.findall(r"numbers for (key\d) mentioned in the provided text are", text)
        assert len(questions) == len(set(questions)) == 2
        wanted = [value for question in questions for key, value in found if key == question]
        assert list(answers(rules.words, episode).values()) == wanted
        assert len(wanted) == 4
        places = [n for n, (key, _) in enumerate(found) if key in questions]
        order.add(tuple(places))
        if background == "noise":
            assert len(found) == 6
            assert len({key for key, _ in found}) == 3
        else:
            assert "green" not in text
            assert len(found) == (260 - rules.needed) // 12 + 6
            assert episode.marks is not None
            depths = episode.marks[episode.marks > 0].tolist()
            assert len(depths) == 4
    assert len(order) > 10


def test_answers_are_shown_after_they_were_asked_for() -> None:
    rules = Needle(n_values=3, length=100)
    episode = rules.draw(generator(0), {"length": 100})
    places = list(answers(rules.words, episode))
    assert places == [*range(len(episode.inputs) - 3, len(episode.inputs))]
    assert episode.inputs[places[1:]].tolist() == episode.targets[places[:-1]].tolist()
    assert Needle().needed == 12 + 15 + 12


def test_the_depth_of_a_needle_is_its_own() -> None:
    rules = Needle(n_keys=4, n_queries=4, length=400)
    for n in range(20):
        episode = rules.draw(generator(n), {"length": 400})
        text = said(rules.words, episode)
        body = text.partition(" what are all")[0]
        assert episode.marks is not None
        wanted = dict(
            zip(answers(rules.words, episode).values(), episode.marks[episode.marks > 0].tolist(), strict=True)
        )
        sentences = body.split(" . ")
        total = sum("magic" not in sentence for sentence in sentences)
        for number, depth in wanted.items():
            (place,) = (n for n, sentence in enumerate(sentences) if number in sentence)
            before = sum("magic" not in sentence for sentence in sentences[:place])
            assert depth == max(10, 10 * math.ceil(10 * before / total))


@pytest.mark.parametrize("fields", [{}, {"chains": 2, "hops": 0, "length": 60}, {"chains": 3, "hops": 2, "symbols": 9}])
def test_a_variable_has_the_value_that_was_handed_on(fields: dict[str, int]) -> None:
    rules = VariableTracking(**fields)
    steps = Counter[int]()
    for n in range(60):
        episode = rules.draw(generator(n), rules.largest)
        found = run_statements(said(rules.words, episode))
        assert list(answers(rules.words, episode).values()) == [value for value, _ in found]
        assert episode.marks is not None
        assert episode.marks[episode.marks > 0].tolist() == [count for _, count in found]
        assert len({value for value, _ in found}) == rules.chains
        assert 0 <= rules.length - len(episode.inputs) < 5
        steps.update(count for _, count in found)
    assert set(steps) == set(range(1, rules.hops + 2))
    assert all(count == pytest.approx(60 * rules.chains / (rules.hops + 1), rel=0.4) for count in steps.values())


def test_statements_by_hand() -> None:
    text = "var x1 = 10005 . here we go . var x2 = var x1 . var x7 = 10009 . what is the value of var x2 ? var x7 ?"
    assert run_statements(text) == [("10005", 2), ("10009", 1)]


def test_the_statements_of_chains_are_mixed() -> None:
    rules = VariableTracking(chains=2, hops=1, length=100)
    texts = [said(rules.words, rules.draw(generator(n), rules.largest)) for n in range(60)]
    mixed = {tuple(re.findall(r"= (var|\d)", text)) for text in texts}
    assert mixed == {("1", "var", "1", "var"), ("1", "1", "var", "var")}


@pytest.mark.parametrize(
    ("rules", "fields", "message"),
    [
        (Passkey, {"length": 36}, "takes 37 tokens; give length=37 or more"),
        (Passkey, {"digits": 0}, "digits = 0 does not fit"),
        (Needle, {"length": 38}, "takes 39 tokens; give length=39 or more"),
        (Needle, {"n_queries": 2}, "n_queries=2 keys cannot be asked for of n_keys=1"),
        (Needle, {"n_keys": 5, "n_values": 4, "symbols": 19}, "symbols=19 are too few .* give 20 or more"),
        (Needle, {"n_keys": 5, "symbols": 5}, "symbols=5 are too few .* give 6 or more"),
        (Needle, {"background": "essays"}, "background = 'essays' does not fit"),
        (VariableTracking, {"length": 147}, "takes 148 tokens; give length=148 or more"),
        (VariableTracking, {"chains": 1}, "chains = 1 does not fit"),
        (VariableTracking, {"symbols": 19}, "symbols=19 are too few .* give 20 or more"),
    ],
)
def test_what_does_not_fit_is_refused(rules: type[HidingRules], fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rules(**fields)
