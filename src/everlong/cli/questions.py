"""Questions of files as a run's examples.

Without ``--valid``, one text in twenty is held out with all of its questions, drawn by lot.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from everlong.cli.corpus import Source
from everlong.cli.held_out import held_out, learned
from everlong.cli.output import say
from everlong.data import ExampleStore, Tokenizer
from everlong.data.asked import AnswerOptions, build_asked
from everlong.data.questions import Question, read_questions


def build_questions(source: Source, options: AnswerOptions, folder: Path, aside: Path) -> Tokenizer:
    """Store the questions of a source, and those of them that are held out; the tokenizer of both.

    Raises:
        ConfigError: the tokenizer is not known.
        DataError: a file or a question cannot be used, or the windows leave no room beside one.
    """

    def to_learn() -> Iterator[Question]:
        return learned(source, read_questions, together=attrgetter("context"))

    def to_measure() -> Iterator[Question]:
        return held_out(source, read_questions, together=attrgetter("context"))

    tokenizer = source.make_tokenizer(lambda: _texts(to_learn()))
    if next(to_measure(), None) is not None:
        say_left_out(build_asked(to_measure(), tokenizer, options, aside), options)
    say_left_out(build_asked(to_learn(), tokenizer, options, folder), options)
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
