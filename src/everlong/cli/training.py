"""A training run from text to its last word, on one process or on all that torchrun started."""

import shlex
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch

from everlong.cli.corpus import (
    STORE,
    Corpus,
    Source,
    build_stores,
    open_stores,
    parse_tokenizer,
    remove_stores,
    require_source,
)
from everlong.cli.output import answer, say
from everlong.cli.pictures import with_pictures_of
from everlong.cli.progress import reporting
from everlong.cli.recipe import Recipe
from everlong.data import LaneReader, Tokenizer, TokenStore
from everlong.data.synthetic import Omniglot, Rules
from everlong.errors import EverlongError
from everlong.models import LanguageModel
from everlong.models.base import Model
from everlong.train import Result, join_world, rank_device, train
from everlong.train.distribution import World
from everlong.train.loop import ignore
from everlong.wording import bytes_text, duration_text

INTERRUPTED = 130


def run_training(recipe: Recipe, source: Source, out: Path, *, resume: bool, threads: int, as_json: bool) -> int:
    """Build the stores where there are none, train, and say how it ended; the exit code, 130 after Ctrl-C.

    Raises:
        EverlongError: something given does not fit; what was there before is as it was.
    """
    if threads:
        torch.set_num_threads(threads)
    with join_world(rank_device()) as world, _lessons(recipe, source, out, world=world, resume=resume) as lessons:
        model = recipe.build(**lessons.sizes).to(rank_device())
        if world.is_main:
            say(f"{_introduction(recipe, model)} · {lessons.introduction}")
        with reporting() if world.is_main else nullcontext(ignore) as report:
            result = train(
                model,
                lessons.data,
                lessons.valid,
                recipe.training,
                out,
                tokenizer=lessons.tokenizer,
                resume=resume,
                report=report,
            )
        if world.is_main:
            say(_conclusion(result, out, model))
            if as_json:
                answer(_facts(result, out))
    return INTERRUPTED if result.interrupted else 0


@final
@dataclass(frozen=True, kw_only=True)
class Lessons:
    """What a model is taught from, and the sizes that it has because of that."""

    data: TokenStore | Rules
    valid: TokenStore | None
    tokenizer: Tokenizer | None
    sizes: dict[str, int]
    introduction: str


@contextmanager
def _lessons(recipe: Recipe, source: Source, out: Path, *, world: World, resume: bool) -> Generator[Lessons]:
    if recipe.rules is not None:
        yield generated_lessons(recipe, recipe.rules, source, out, resume=resume)
        return
    with _stores(recipe, source, out, world=world, resume=resume) as corpus:
        held_out = f", {corpus.valid.n_tokens:,} held out" if corpus.valid else ""
        yield Lessons(
            data=corpus.train,
            valid=corpus.valid,
            tokenizer=corpus.tokenizer,
            sizes={"vocab_size": corpus.tokenizer.vocab_size},
            introduction=f"{corpus.train.n_tokens:,} tokens in {corpus.train.n_documents:,} documents{held_out}",
        )


def generated_lessons(recipe: Recipe, rules: Rules, source: Source, out: Path, *, resume: bool) -> Lessons:
    """What a generated task teaches.

    Raises:
        ConfigError: a field of the model does not fit, or Pillow is not installed.
        DataError: pictures cannot be read, or are too few.
        RunError: a run that goes on was trained on other pictures.
    """
    sizes = {"input_size": rules.input_size, "output_size": rules.output_size}
    recipe.check(**sizes)
    told = ", ".join(f"{name} {value:,}" for name, value in rules.model_dump().items())
    if isinstance(rules, Omniglot):
        rules = with_pictures_of(rules, source, out, resume=resume)
        trained, held_out = (len(pictures.names) for pictures in rules.pictures)
        told += f"; {trained:,} characters, {held_out:,} held out"
    return Lessons(
        data=rules, valid=None, tokenizer=None, sizes=sizes, introduction=f"sequences of {rules.name}: {told}"
    )


@contextmanager
def _stores(recipe: Recipe, source: Source, out: Path, *, world: World, resume: bool) -> Generator[Corpus]:
    """The run's stores, built on rank 0 where need be; taken away again if no training comes of it."""
    # Asked once for all ranks: a late one might see what rank 0 has built since.
    there = world.on_main(lambda: "yes" if (out / STORE).exists() else "") == "yes"
    if there and source.data:
        require_source(source, out)
    if not there and (source.data or not resume):
        recipe.check(vocab_size=parse_tokenizer(source.tokenizer) or 256)
        world.on_main(lambda: _built(source, out))
    try:
        corpus = open_stores(out)
        # Refuses text too short for its lanes before anything else is written.
        LaneReader(corpus.train, lanes=recipe.training.lanes, chunk=recipe.training.chunk, world=world.size)
        yield corpus
    except EverlongError:
        if not there and world.is_main and not (out / "checkpoints").exists():
            remove_stores(out)
        raise


def _built(source: Source, out: Path) -> str:
    say(f"reading {', '.join(str(path) for path in source.data)}")
    build_stores(source, out)
    return str(out)


def _introduction(recipe: Recipe, model: Model) -> str:
    parameters = sum(parameter.numel() for parameter in model.parameters())
    memory = (
        f"{bytes_text(model.eval().init_memory(1).nbytes)} of memory a session"
        if isinstance(model, LanguageModel)
        else "an encoder without memory"
    )
    return f"{recipe.architecture}: {parameters:,} parameters, {memory}"


def _conclusion(result: Result, out: Path, model: Model) -> str:
    unseen = "held-out text" if result.per == "byte" else "new sequences"
    best = "" if result.best_bits is None else f", best {result.best_bits:.4f} bits/{result.per} on {unseen}"
    done = f"{result.step:,} steps in {duration_text(result.seconds)}{best}; saved {result.checkpoint}"
    if result.interrupted:
        return f"stopped after {done}\ngo on with: {_resume_command(out)}"
    run = shlex.quote(str(out))
    if result.per == "sequence":
        return f"done: {done}\ntry: everlong eval {run}"
    if isinstance(model, LanguageModel):
        return f"done: {done}\ntry: everlong generate {run} --prompt 'Once upon a time'"
    return f"done: {done}\ntry: everlong eval {run} --data PATH"


def _facts(result: Result, out: Path) -> dict[str, Any]:
    return {
        "run": str(out),
        "ending": result.ending,
        "step": result.step,
        "seconds": result.seconds,
        "loss": result.loss,
        f"best_bits_per_{result.per}": result.best_bits,
        "best_step": result.best_step,
        "checkpoint": str(result.checkpoint),
        "resume": _resume_command(out),
    }


def _resume_command(out: Path) -> str:
    return f"everlong train --resume --out {shlex.quote(str(out))}"
