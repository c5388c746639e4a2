"""A training run from text to its last word, on one process or on all that torchrun started."""

import shlex
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

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
from everlong.cli.progress import reporting
from everlong.cli.recipe import Recipe
from everlong.data import LaneReader
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
    with join_world(rank_device()) as world, _stores(recipe, source, out, world=world, resume=resume) as corpus:
        model = recipe.build(vocab_size=corpus.tokenizer.vocab_size).to(rank_device())
        if world.is_main:
            say(_introduction(recipe, corpus, model))
        with reporting() if world.is_main else nullcontext(ignore) as report:
            result = train(
                model,
                corpus.train,
                corpus.valid,
                recipe.training,
                out,
                tokenizer=corpus.tokenizer,
                resume=resume,
                report=report,
            )
        if world.is_main:
            say(_conclusion(result, out, model))
            if as_json:
                answer(_facts(result, out))
    return INTERRUPTED if result.interrupted else 0


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


def _introduction(recipe: Recipe, corpus: Corpus, model: Model) -> str:
    held_out = f", {corpus.valid.n_tokens:,} held out" if corpus.valid else ""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    memory = (
        f"{bytes_text(model.eval().init_memory(1).nbytes)} of memory a session"
        if isinstance(model, LanguageModel)
        else "an encoder without memory"
    )
    return (
        f"{recipe.architecture}: {parameters:,} parameters, {memory} · {corpus.train.n_tokens:,} tokens in "
        f"{corpus.train.n_documents:,} documents{held_out}"
    )


def _conclusion(result: Result, out: Path, model: Model) -> str:
    best = (
        ""
        if result.best_bits_per_byte is None
        else f", best {result.best_bits_per_byte:.4f} bits/byte on held-out text"
    )
    done = f"{result.step:,} steps in {duration_text(result.seconds)}{best}; saved {result.checkpoint}"
    if result.interrupted:
        return f"stopped after {done}\ngo on with: {_resume_command(out)}"
    run = shlex.quote(str(out))
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
        "best_bits_per_byte": result.best_bits_per_byte,
        "best_step": result.best_step,
        "checkpoint": str(result.checkpoint),
        "resume": _resume_command(out),
    }


def _resume_command(out: Path) -> str:
    return f"everlong train --resume --out {shlex.quote(str(out))}"
