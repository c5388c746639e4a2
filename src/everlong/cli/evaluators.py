"""How a run of each task is measured by ``everlong eval``.

A task with examples of its own is an entry of `EVALUATORS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from everlong.cli.answers import eval_questions
from everlong.cli.babi import eval_stories
from everlong.cli.books import eval_books
from everlong.cli.classes import eval_labelled
from everlong.cli.dialogues import eval_dialogues
from everlong.cli.entities import eval_tagged
from everlong.cli.episodes import eval_generated
from everlong.cli.request import Request
from everlong.cli.summaries import eval_summaries
from everlong.cli.texts import eval_text
from everlong.cli.translations import eval_translations
from everlong.data.synthetic import RULES, Omniglot


@final
@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """How a task is measured."""

    measure: Callable[[Request], None]
    """Measures a run and says what it found."""
    takes: frozenset[str]
    """Which of the command's options about what is measured it uses."""
    why: str
    """Why it does not use the others."""


TEXT = Evaluator(
    measure=eval_text,
    takes=frozenset({"--data", "--document-separator", "--chunk", "--limit"}),
    why="it is measured on text",
)
GENERATED = Evaluator(
    measure=eval_generated, takes=frozenset({"--sequences"}), why="it is generated and reads no text"
)  # fmt: skip
DIALOGUES = Evaluator(
    measure=eval_dialogues,
    takes=frozenset({"--data", "--limit"}),
    why="it is measured on JSON lines of dialogues, turn by turn",
)
STORIES = Evaluator(measure=eval_stories, takes=frozenset({"--data"}), why="its stories are read whole")
TRANSLATIONS = Evaluator(
    measure=eval_translations, takes=frozenset({"--data"}), why="it is measured on pairs of texts"
)  # fmt: skip
SUMMARIES = Evaluator(
    measure=eval_summaries, takes=frozenset({"--data"}), why="it is measured on documents, each read as a whole"
)  # fmt: skip
LABELLED = Evaluator(
    measure=eval_labelled, takes=frozenset({"--data"}), why="it is measured on JSON lines, each text read as a whole"
)  # fmt: skip
TAGGED = Evaluator(
    measure=eval_tagged,
    takes=frozenset({"--data"}),
    why="it is measured on files of words and tags, each text read as a whole",
)
QUESTIONS = Evaluator(
    measure=eval_questions, takes=frozenset({"--data"}), why="it is measured on questions with their texts"
)  # fmt: skip
DRAWN = Evaluator(
    measure=eval_generated, takes=frozenset({"--data", "--sequences"}), why="it is drawn from pictures"
)  # fmt: skip
EVALUATORS: dict[str, Evaluator] = {
    "lm": TEXT,
    "dialogue": DIALOGUES,
    "mlm": TEXT,
    "answer": QUESTIONS,
    "babi": STORIES,
    "classify": LABELLED,
    "tag": TAGGED,
    "translate": TRANSLATIONS,
    "summarize": SUMMARIES,
    **dict.fromkeys(RULES, GENERATED),
    Omniglot.name: DRAWN,
}
BOOKS = Evaluator(
    measure=eval_books,
    takes=frozenset({"--data", "--document-separator", "--limit"}),
    why="it is measured on books, chapter by chapter",
)
OTHERWISE: dict[tuple[str, str], Evaluator] = {("lm", "story"): BOOKS}
"""Other ways to measure a run, by what it learned and what is asked for."""
