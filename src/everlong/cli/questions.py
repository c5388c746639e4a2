"""Questions of files as a run's examples.

Without ``--valid``, one text in twenty is held out with all of its questions, drawn by lot.
"""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import numpy as np

from everlong.cli.corpus import HELD_OUT, Source
from everlong.cli.output import say
from everlong.data import ExampleStore, Tokenizer
from everlong.data.asked import AnswerOptions, build_asked
from everlong.data.questions import Question, read_questions


def build_questions(source: Source, options: AnswerOptions, folder: Path, held_out: Path) -> Tokenizer:
    """Store the questions of a source, and those of them that are held out; the tokenizer of both.

    Raises:
        ConfigError: the tokenizer is not known.
        DataError: a file or a question cannot be used, or the windows leave no room beside one.
    """

    def learned() -> Iterator[Question]:
        return read_questions(source.data) if source.valid else _drawn(source.data, held_out=False)

    def aside() -> Iterator[Question]:
        return read_questions(source.valid) if source.valid else _drawn(source.data, held_out=True)

    tokenizer = source.make_tokenizer(lambda: _texts(learned()))
    if next(aside(), None) is not None:
        say_left_out(build_asked(aside(), tokenizer, options, held_out), options)
    say_left_out(build_asked(learned(), tokenizer, options, folder), options)
    return tokenizer


def say_left_out(store: ExampleStore, options: AnswerOptions) -> None:
    """Tell of questions that no window can teach."""
    if left_out := store.about["left_out"]:
        say(f"{left_out:,} questions are left out, for no window of width={options.width} holds their answer whole")


def _texts(questions: Iterable[Question]) -> Iterator[str]:
    """Each text once, where its questions stand together, and then those."""
    for context, its in groupby(questions, key=attrgetter("context")):
        yield f"{context}\n"
        yield from (f"{one.question}\n" for one in its)


def _drawn(paths: Iterable[Path], *, held_out: bool) -> Iterator[Question]:
    """The questions about texts that are held out, or about all others; the same ones each time."""
    lot = np.random.default_rng(0)
    aside: dict[bytes, bool] = {}
    for question in read_questions(paths):
        text = hashlib.sha256(question.context.encode()).digest()
        if text not in aside:
            aside[text] = lot.random() < 1 / HELD_OUT
        if aside[text] == held_out:
            yield question
