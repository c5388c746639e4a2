"""What a model is taught from, for every task: text, sequences drawn by rule, or examples.

`course` says for each task how its lessons are made of the words on the command line.
"""

import json
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import final

from everlong.cli.corpus import (
    STORE,
    VALID,
    Source,
    build_stores,
    open_stores,
    remove_stores,
    require_source,
)
from everlong.cli.examples import FORMATS, build_examples, open_examples, require_options
from everlong.cli.output import say
from everlong.cli.pictures import with_pictures_of
from everlong.cli.recipe import Recipe
from everlong.data import LaneReader, Tokenizer, read_documents
from everlong.data.dialogues import read_dialogues
from everlong.data.synthetic import RULES, Omniglot, Rules
from everlong.errors import EverlongError
from everlong.train.config import TaskName
from everlong.train.distribution import World
from everlong.train.folder import EXAMPLES, HELD_OUT_EXAMPLES
from everlong.train.task import Material


@final
@dataclass(frozen=True, kw_only=True)
class Lessons:
    """What a model is taught from, and the sizes that it has because of that."""

    data: Material
    valid: Material | None
    tokenizer: Tokenizer | None
    sizes: dict[str, int]
    introduction: str
    then: str
    """The command that shows what was learned; ``{run}`` stands for the folder."""


THEN: dict[TaskName, str] = {
    "lm": "generate {run} --prompt 'Once upon a time'",
    "dialogue": "chat {run}",
    "mlm": "eval {run} --data PATH",
}
"""The command that shows what was learned from text."""


@final
@dataclass(frozen=True, kw_only=True)
class Course:
    """How the lessons of a task are made."""

    open: Callable[..., AbstractContextManager[Lessons]]
    takes: frozenset[str]
    """Which of the command's options about text it uses."""
    why: str = ""
    """Why it does not use the others."""
    missing: str = "no text is given"
    """What is wrong where a new run has no --data."""


@contextmanager
def text_lessons(recipe: Recipe, source: Source, out: Path, *, world: World, resume: bool) -> Generator[Lessons]:
    """A corpus, kept in the run's folder."""
    task = recipe.training.task
    read = read_dialogues if task == "dialogue" else partial(read_documents, separator=source.separator)

    def build() -> None:
        recipe.check(vocab_size=source.vocab_size)
        world.on_main(lambda: _reading(source, out, lambda: build_stores(source, out, read)))

    with _kept(source, out, (STORE, VALID), build, source.facts(), world=world, resume=resume):
        corpus = open_stores(out)
        # Refuses text too short for its lanes before anything else is written.
        LaneReader(corpus.train, lanes=recipe.training.lanes, chunk=recipe.training.chunk, world=world.size)
        held_out = f", {corpus.valid.n_tokens:,} held out" if corpus.valid else ""
        documents = f"{corpus.train.n_documents:,} document{'' if corpus.train.n_documents == 1 else 's'}"
        yield Lessons(
            data=corpus.train,
            valid=corpus.valid,
            tokenizer=corpus.tokenizer,
            sizes={"vocab_size": corpus.tokenizer.vocab_size},
            introduction=f"{corpus.train.n_tokens:,} tokens in {documents}{held_out}",
            then=THEN[task],
        )


@contextmanager
def generated_lessons(recipe: Recipe, source: Source, out: Path, *, world: World, resume: bool) -> Generator[Lessons]:
    """Rules by which sequences are drawn.

    Raises:
        ConfigError: a field of the model does not fit.
    """
    del source, out, world, resume
    rules = recipe.options
    assert isinstance(rules, Rules)
    recipe.check(**rules.model_sizes)
    told = ", ".join(f"{name} {setting_text(value)}" for name, value in rules.model_dump(mode="json").items())
    yield Lessons(
        data=rules,
        valid=None,
        tokenizer=None,
        sizes=rules.model_sizes,
        introduction=f"sequences of {rules.name}: {told}",
        then="eval {run}",
    )


@contextmanager
def picture_lessons(recipe: Recipe, source: Source, out: Path, *, world: World, resume: bool) -> Generator[Lessons]:
    """Rules that draw from pictures, which are kept in the run's folder.

    Raises:
        ConfigError: a field of the model does not fit, or Pillow is not installed.
        DataError: pictures cannot be read, or are too few.
        RunError: a run that goes on was trained on other pictures.
    """
    with generated_lessons(recipe, source, out, world=world, resume=resume) as lessons:
        assert isinstance(lessons.data, Omniglot)
        rules = with_pictures_of(lessons.data, source, out, resume=resume)
        trained, held_out = (len(pictures.names) for pictures in rules.pictures)
        told = f"{lessons.introduction}; {trained:,} characters, {held_out:,} held out"
        yield replace(lessons, data=rules, introduction=told)


@contextmanager
def example_lessons(recipe: Recipe, source: Source, out: Path, *, world: World, resume: bool) -> Generator[Lessons]:
    """Examples of a task, kept in the run's folder."""
    task, options = recipe.training.task, recipe.options
    assert options is not None

    def build() -> None:
        recipe.check()
        world.on_main(lambda: _reading(source, out, lambda: build_examples(task, source, options, out)))

    with _kept(source, out, (EXAMPLES, HELD_OUT_EXAMPLES), build, source.facts(), world=world, resume=resume):
        require_options(options, out)
        found = open_examples(out)
        held_out = f", {len(found.valid):,} held out" if found.valid else ""
        yield Lessons(
            data=found.train,
            valid=found.valid,
            tokenizer=found.tokenizer,
            sizes=FORMATS[task].sizes(found.train, found.tokenizer),
            introduction=f"{len(found.train):,} examples of {task}{held_out}",
            then="eval {run}" if found.valid else "eval {run} --data PATH",
        )


def setting_text(value: object) -> str:
    """A setting as ``--set`` takes it, but for commas between thousands.

    >>> setting_text(8192), setting_text("random"), setting_text([[64, 4]]), setting_text(True)
    ('8,192', 'random', '[[64, 4]]', 'true')
    """
    if isinstance(value, str):
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:,}" if is_number else json.dumps(value)


def course(task: TaskName) -> Course:
    """How the lessons of a task are made."""
    if task == Omniglot.name:
        return Course(
            open=picture_lessons,
            takes=frozenset({"--data", "--valid"}),
            why="it is drawn from pictures",
            missing="no pictures are given",
        )
    if task in RULES:
        return Course(open=generated_lessons, takes=frozenset(), why="it is generated and reads no text")
    if task in FORMATS:
        return Course(open=example_lessons, takes=FORMATS[task].takes, why=FORMATS[task].why)
    if task == "dialogue":
        return Course(
            open=text_lessons,
            takes=frozenset({"--data", "--valid", "--tokenizer", "--chunk"}),
            why="each of its JSON lines is a document",
            missing="no dialogues are given",
        )
    return Course(
        open=text_lessons,
        takes=frozenset({"--data", "--valid", "--document-separator", "--tokenizer", "--chunk"}),
    )


@contextmanager
def _kept(
    source: Source,
    out: Path,
    names: tuple[str, str],
    build: Callable[[], None],
    facts: Mapping[str, object],
    *,
    world: World,
    resume: bool,
) -> Generator[None]:
    """The run's stores, built on rank 0 where need be; taken away again if no training comes of it."""
    # Asked once for all ranks: a late one might see what rank 0 has built since.
    there = world.on_main(lambda: "yes" if (out / names[0]).exists() else "") == "yes"
    if there and source.data:
        require_source(facts, out / names[0])
    if not there and (source.data or not resume):
        build()
    try:
        yield
    except EverlongError:
        if not there and world.is_main and not (out / "checkpoints").exists():
            remove_stores(out, *names)
        raise


def _reading(source: Source, out: Path, build: Callable[[], None]) -> str:
    say(f"reading {', '.join(str(path) for path in source.data)}")
    build()
    return str(out)
