"""Books measured by chapter, and stories from where chapters begin; and what is refused."""

import random
from pathlib import Path

import numpy as np
import pytest

from everlong.data.chapters import chapter_parts
from everlong.evaluate.repetition import repetition
from everlong.generate import Sampler
from everlong.run import load
from tests.cli.support import CLI

WORDS = {"en": ["ship", "sea", "parrot", "captain", "gold", "said"], "zh": ["船", "海", "说", "金", "船长", "鹦鹉"]}
HEADINGS = {"en": ["CHAPTER I", "CHAPTER II", "CHAPTER III"], "zh": ["第一回 船", "第二回 海", "第三回 金"]}


def write_book(path: Path, *, seed: int, language: str = "en") -> Path:
    """A preface and three chapters of random words."""
    rng, space = random.Random(seed), " " if language == "en" else ""
    chapters = (f"{head}\n{space.join(rng.choices(WORDS[language], k=220))}\n" for head in HEADINGS[language])
    path.write_text(f"A BOOK {seed}\n" + "".join(chapters), encoding="utf-8")
    return path


@pytest.mark.parametrize("language", ["en", "zh"])
def test_chapters_are_measured_and_stories_written(trained: Path, cli: CLI, tmp_path: Path, language: str) -> None:
    books = [write_book(tmp_path / f"{n}.txt", seed=n, language=language) for n in range(2)]
    words = ["eval", trained, "--task", "story", "--data", *books, "--set", "stories=3", "--set", "length=30"]
    found = cli(*words, "--json").answer
    assert [(row["first"], row["n_parts"]) for row in found["chapters"]["by_part"]] == [(1, 2), (2, 2), (3, 2)]
    assert found["chapters"]["other"] is not None
    # All of both books but the prefaces and the first bytes of the chapters after the first.
    assert found["chapters"]["n_bytes"] == sum(len(book.read_bytes()) - len("A BOOK 0\n") - 2 for book in books)
    assert [(Path(story["book"]).name, story["chapter"]) for story in found["stories"]] == [
        ("0.txt", 2), ("0.txt", 3), ("1.txt", 2)
    ]  # fmt: skip
    assert cli(*words, "--json").answer["stories"] == found["stories"]
    assert cli(*words, "--set", "task.seed=1", "--json").answer["stories"] != found["stories"]
    written = repetition([story["text"] for story in found["stories"]])
    assert found["repetition"]["model"] == written.to_dict()
    table = cli(*words)
    for word in ("reset at each chapter", "The memory of earlier chapters saves", "4-grams repeated", "author"):
        assert word in table.out


def test_a_story_goes_on_from_all_that_was_read(trained: Path, cli: CLI, tmp_path: Path) -> None:
    book = write_book(tmp_path / "a.txt", seed=0)
    sets = ["stories=1", "prompt=20", "length=40", "temperature=0.5", "seed=3"]
    words = ["eval", trained, "--task", "story", "--data", book, *(word for one in sets for word in ("--set", one))]
    ending = cli(*words, "--json")
    (story,) = ending.answer["stories"]
    text = book.read_text()
    begin = chapter_parts(text).begins[1]
    session = load(trained).session()
    session.read(text[: begin + 20])
    assert story["prompt"] == text[begin : begin + 20]
    assert story["text"] == session.write(max_new_tokens=40, sampler=Sampler(temperature=0.5), seed=3)
    author = repetition([text[begin + 20 : begin + 60]])
    assert ending.answer["repetition"]["author"] == author.to_dict()
    assert ending.answer["chapters"]["other"] is None
    assert np.isfinite(ending.answer["chapters"]["gain"])


def test_books_without_chapters_are_left_out_and_named(trained: Path, cli: CLI, book: Path, tmp_path: Path) -> None:
    written = write_book(tmp_path / "a.txt", seed=0)
    words = ["eval", trained, "--task", "story", "--set", "stories=0"]
    ending = cli(*words, "--data", book, written)
    assert f"left out, as they have no chapter headings: {book}" in ending.err
    assert "There is one book" in ending.err
    assert "repeated" not in ending.out
    assert cli(*words, "--data", book, written, "--json").answer["left_out"] == [str(book)]
    cli(*words, "--data", book).require_refusal("has no chapters", "CHAPTER I", "第一回", "without --task story")


def test_chapters_too_short_for_a_story(trained: Path, cli: CLI, tmp_path: Path) -> None:
    ending = cli("eval", trained, "--task", "story", "--data", write_book(tmp_path / "a.txt", seed=0), "--limit", 900)
    assert (ending.code, "No chapter after a first one has 576 tokens" in ending.err) == (0, True)


def test_what_is_refused(trained: Path, encoder_run: Path, cli: CLI, book: Path, tmp_path: Path) -> None:
    words = ["eval", trained, "--task", "story"]
    cli(*words).require_refusal("no books are given to measure", "--data")
    cli(*words, "--data", tmp_path / "none.txt").require_refusal("there is no file or folder")
    cli(*words, "--data", book, "--chunk", 8).require_refusal("task=story has no use for --chunk", "chapter by chapter")
    cli(*words, "--data", book, "--set", "length=0").require_refusal("length")
    cli(*words, "--data", book, "--set", "lenght=9").require_refusal("lenght")
    cli("eval", encoder_run, "--task", "story", "--data", book).require_refusal("learned task=mlm, not story")
    ending = cli("train", "gru", "--task", "story", "--data", book, "--out", tmp_path / "new")
    ending.require_refusal("stories are learned as any other text", "Leave out --task story")
