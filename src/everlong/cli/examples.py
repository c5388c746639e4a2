"""A run's examples: made once from the files that are given, and kept as stores in the run's folder.

A task with examples of its own is an entry of `FORMATS`.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from everlong.cli.babi import build_stories
from everlong.cli.corpus import SOURCE, Source, remove_stores, require_source
from everlong.cli.labelled import build_labelled
from everlong.cli.pairs import PairOptions, build_summaries, build_translations
from everlong.cli.questions import build_questions
from everlong.cli.tagged import build_tagged
from everlong.config import Config
from everlong.data import ExampleStore, Tokenizer, load_tokenizer
from everlong.data.asked import AnswerOptions
from everlong.data.babi_files import BabiOptions
from everlong.data.bytelevel import TOKENIZER_FILE
from everlong.data.labelled import LabelledOptions
from everlong.data.sealed import read_sealed, write_sealed
from everlong.data.summaries import SummaryOptions
from everlong.data.tagged import TagOptions
from everlong.train.config import TaskName
from everlong.train.folder import EXAMPLES, HELD_OUT_EXAMPLES, require_equal


@final
@dataclass(frozen=True, kw_only=True)
class Format:
    """How the examples of a task are made of files."""

    build: Callable[[Source, Any, Path, Path], Tokenizer]
    """Given the source and the task's options, builds a store in the first folder and, of what is held out, one in the
    second; the tokenizer that it used."""
    options: type[Config]
    """What may be chosen about the examples: ``--set task.NAME=VALUE``."""
    sizes: Callable[[ExampleStore, Tokenizer], dict[str, int]]
    """Fields of a model that follow from the examples."""
    takes: frozenset[str]
    """Which of the command's options about text it uses."""
    why: str
    """Why it does not use the others."""


def vocabulary(store: ExampleStore, tokenizer: Tokenizer) -> dict[str, int]:
    """The size of a vocabulary, which is all that follows from the examples of most tasks."""
    del store
    return {"vocab_size": tokenizer.vocab_size}


FORMATS: dict[str, Format] = {
    "babi": Format(
        build=build_stories,
        options=BabiOptions,
        sizes=vocabulary,
        takes=frozenset({"--data", "--valid"}),
        why="its stories are read whole, and their words are the tokens",
    ),
    "translate": Format(
        build=build_translations,
        options=PairOptions,
        sizes=vocabulary,
        takes=frozenset({"--data", "--valid", "--tokenizer"}),
        why="a pair of texts is read as a whole",
    ),
    "answer": Format(
        build=build_questions,
        options=AnswerOptions,
        sizes=vocabulary,
        takes=frozenset({"--data", "--valid", "--tokenizer"}),
        why="it reads questions with their texts, window by window",
    ),
    "summarize": Format(
        build=build_summaries,
        options=SummaryOptions,
        sizes=vocabulary,
        takes=frozenset({"--data", "--valid", "--tokenizer"}),
        why="it reads JSON lines, a document and its summary in each, as a whole",
    ),
    "classify": Format(
        build=build_labelled,
        options=LabelledOptions,
        sizes=vocabulary,
        takes=frozenset({"--data", "--valid", "--tokenizer"}),
        why="it reads JSON lines, a text and its label in each, as a whole",
    ),
    "tag": Format(
        build=build_tagged,
        options=TagOptions,
        sizes=vocabulary,
        takes=frozenset({"--data", "--valid", "--tokenizer"}),
        why="it reads files of words and tags, which say themselves where texts end",
    ),
}


@final
@dataclass(frozen=True, kw_only=True)
class Examples:
    """Examples ready for training."""

    tokenizer: Tokenizer
    train: ExampleStore
    valid: ExampleStore | None


def build_examples(task: TaskName, source: Source, options: Config, folder: Path) -> None:
    """Make ``folder/examples`` and, where some are held out, ``folder/examples-valid``; what is there is kept.

    Raises:
        ConfigError: an option does not fit.
        DataError: there are no examples, or they cannot be read.
        RunError: the folder has examples made of something else, or the disk is full.
    """
    if (folder / EXAMPLES).exists():
        require_source(source.facts(), folder / EXAMPLES)
        require_options(options, folder)
        return
    shutil.rmtree(folder / HELD_OUT_EXAMPLES, ignore_errors=True)
    try:
        tokenizer = FORMATS[task].build(source, options, folder / EXAMPLES, folder / HELD_OUT_EXAMPLES)
        tokenizer.save(folder / EXAMPLES)
        write_sealed(folder / EXAMPLES / SOURCE, source.facts() | {"options": options.model_dump(mode="json")})
    except BaseException:
        remove_stores(folder, EXAMPLES, HELD_OUT_EXAMPLES)
        raise


def open_examples(folder: Path) -> Examples:
    """What `build_examples` made.

    Raises:
        DamagedFile: a file is missing or altered.
    """
    valid = ExampleStore.open(folder / HELD_OUT_EXAMPLES) if (folder / HELD_OUT_EXAMPLES).exists() else None
    home = folder if (folder / TOKENIZER_FILE).exists() else folder / EXAMPLES
    return Examples(tokenizer=load_tokenizer(home), train=ExampleStore.open(folder / EXAMPLES), valid=valid)


def stored_options(folder: Path) -> dict[str, Any]:
    """What was chosen about the examples in a run's folder.

    Raises:
        DamagedFile: ``source.json`` is missing or altered.
    """
    options: Any = read_sealed(folder / EXAMPLES / SOURCE)["options"]
    return options


def require_options(options: Config, folder: Path) -> None:
    """Make sure that the examples in a run's folder were made with these options; newer ones had their defaults.

    Raises:
        RunError: they were not.
    """
    stored = options.defaults() | stored_options(folder)
    require_equal("task", stored, options.model_dump(mode="json"), folder)
