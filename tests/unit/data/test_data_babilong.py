"""Facts hidden in a book: where they stand, what surrounds them, what is left out and what is refused."""

import re
from pathlib import Path

import pytest
from tests.stories import ONE, TWO, folder

from everlong.data import ExampleStore
from everlong.data.babi import build_babi, build_measured
from everlong.data.babi_files import BabiOptions
from everlong.data.babilong import read_book
from everlong.data.words import WordTokenizer
from everlong.errors import ConfigError, DataError
from everlong.shapes import IGNORE

FACT = re.compile(r"(?:mary|john) (?:went|took) (?:\w+) \.")


def book(path: Path, *, sentences: int = 40) -> Path:
    """A sentence of eleven words for each number, some short ones and a dash."""
    lines = (f"The ship - number s{n} sailed on over the dark sea. It rained!\n" for n in range(sentences))
    path.write_text("".join(lines))
    return path


def build(tmp_path: Path, length: int, **options: object) -> tuple[WordTokenizer, Path, Path]:
    home = folder(tmp_path / "f", {"qa1_a_train.txt": ONE, "qa1_a_test.txt": ONE, "qa8_b_train.txt": TWO})
    given = BabiOptions(background=str(book(tmp_path / "book.txt")), length=length, **options)
    train, held_out = tmp_path / "t", tmp_path / "h"
    return build_babi([home], [], given, train=train, held_out=held_out), train, held_out


def read(tokenizer: WordTokenizer, store: Path) -> list[tuple[str, list[str]]]:
    """Each example as text, and the words that are asked for; in the order of the questions' words."""
    found = [
        (
            tokenizer.decode(example["tokens"]).strip(),
            [tokenizer.words[target] for target in example["targets"] if target != IGNORE],
        )
        for example in ExampleStore.open(store)
    ]
    return sorted(found, key=lambda one: one[0].split()[-5:])


def test_every_question_is_an_example_with_the_facts_before_it(tmp_path: Path) -> None:
    tokenizer, train, _ = build(tmp_path, 60)
    found = read(tokenizer, train)
    questions = ["what has she ? - -", "what has he ? -", "where is john ? -", "where is mary ? -"]
    home = "mary went home ."
    facts = [["mary took milk ."], ["john took nothing ."], [home, "john went north ."], [home]]
    assert [answer for _, answer in found] == [["milk", "nothing"], ["nothing"], ["north"], ["home"]]
    for (text, _), question, wanted in zip(found, questions, facts, strict=True):
        assert text.endswith(f" {question}")
        body = text.removesuffix(question).split()
        assert len(body) == 60
        assert FACT.findall(" ".join(body)) == wanted
        rest = FACT.sub("", " ".join(body)).split()
        assert "-" not in rest
        assert "rained" not in rest
        # One sentence after another, each whole but the last.
        numbers = [int(word[1:]) for word in rest if re.fullmatch(r"s\d+", word)]
        assert numbers == [(numbers[0] + n) % 36 for n in range(len(numbers))]
        sentence = ["the", "ship", "number", "s", "sailed", "on", "over", "the", "dark", "sea", "."]
        assert [re.sub(r"^s\d+$", "s", word) for word in rest] == (sentence * 6)[: len(rest)]


def test_what_is_measured_is_hidden_in_the_end_of_the_book(tmp_path: Path) -> None:
    tokenizer, train, held_out = build(tmp_path, 200)
    learned, measured = read_book(str(tmp_path / "book.txt"))
    assert [sentence[3] for sentence in measured] == ["s36", "s37", "s38", "s39"]
    assert len(learned) == 36
    assert all(word not in tokenizer.words for word in ("s36", "s39"))
    assert "s35" in tokenizer.words
    assert all("<unknown>" not in text for text, _ in read(tokenizer, train))
    assert all(text.count("<unknown>") == text.count("ship") > 10 for text, _ in read(tokenizer, held_out))
    assert ExampleStore.open(held_out).about["n_unknown"] == 0, "words of the book are not counted"
    assert ExampleStore.open(train).about["hidden"] == {"background": str(tmp_path / "book.txt"), "length": 200}


def test_facts_stand_at_different_places_and_come_back(tmp_path: Path) -> None:
    home = folder(tmp_path / "f", {"qa1_a_train.txt": ONE * 100})
    options = BabiOptions(background=str(book(tmp_path / "book.txt")), length=59)
    stores = [tmp_path / name for name in ("a", "b")]
    tokenizer, again = (build_babi([home], [], options, train=store, held_out=tmp_path / "h") for store in stores)
    assert read(tokenizer, stores[0]) == read(again, stores[1])
    texts = [text.split() for text, _ in read(tokenizer, stores[0])[100:]]
    places = [text.index("mary") for text in texts]
    # 55 words are five sentences of the book: six places for the fact.
    assert {place: 8 <= places.count(place) <= 28 for place in set(places)} == dict.fromkeys(range(0, 56, 11), True)
    assert len({tuple(text) for text in texts}) > 60


def test_facts_alone(tmp_path: Path) -> None:
    tokenizer, train, _ = build(tmp_path, 0)
    assert read(tokenizer, train)[2] == ("mary went home . john went north . where is john ? -", ["north"])
    other = folder(tmp_path / "g", {"qa1_a_test.txt": ONE})
    for length, words in ((5, 13), (8, 13), (9, 14), (1000, 1005)):
        options = BabiOptions(tasks=(1,), background=str(tmp_path / "book.txt"), length=length)
        store = build_measured([other], options, tokenizer, tmp_path / f"m{length}")
        assert max(len(store[n]["tokens"]) for n in range(2)) == words


def test_questions_are_not_in_the_order_of_the_file(tmp_path: Path) -> None:
    home = folder(tmp_path / "f", {"qa1_a_train.txt": ONE * 100})
    options = BabiOptions(background=str(book(tmp_path / "book.txt")))
    tokenizer = build_babi([home], [], options, train=tmp_path / "t", held_out=tmp_path / "h")
    store = ExampleStore.open(tmp_path / "t")
    # Every second one is about Mary in the file.
    about = [tokenizer.id_of("john") in store[n]["tokens"] for n in range(0, 200, 2)]
    assert 30 < sum(about) < 70


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"length=9 is that of facts in a background; give --set task\.background="):
        BabiOptions(length=9)
    with pytest.raises(DataError, match=r"the background .*short\.txt has 9 sentences of 10 words or more"):
        read_book(str(book(tmp_path / "short.txt", sentences=9)))
    with pytest.raises(DataError, match=r"no\.txt"):
        read_book(str(tmp_path / "no.txt"))
