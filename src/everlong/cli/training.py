"""A training run from its first lesson to its last word, on one process or on all that torchrun started."""

import shlex
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from everlong.cli.corpus import Source
from everlong.cli.lessons import course
from everlong.cli.output import answer, say
from everlong.cli.progress import reporting
from everlong.cli.recipe import Recipe
from everlong.cli.start import started, tell
from everlong.models import LanguageModel
from everlong.models.base import Model
from everlong.report.optimisation import PAGE, optimisation_page
from everlong.report.page import require_jinja
from everlong.storage import write_whole
from everlong.train import Result, join_world, rank_device, train
from everlong.train.loop import ignore
from everlong.train.metrics import METRICS
from everlong.train.tasks import make_task
from everlong.wording import bytes_text, duration_text

INTERRUPTED = 130


def run_training(
    recipe: Recipe, source: Source, out: Path, *, start: Path | None, resume: bool, threads: int, as_json: bool
) -> int:
    """Build the stores where there are none, train, and say how it ended; the exit code, 130 after Ctrl-C.

    With a `start`, the weights are those of the run in that folder.

    Raises:
        EverlongError: something given does not fit; what was there before is as it was.
    """
    if recipe.training.diagnose_every:
        require_jinja()
    if threads:
        torch.set_num_threads(threads)
    with ExitStack() as stack:
        world = stack.enter_context(join_world(rank_device()))
        began = stack.enter_context(started(recipe, start, out, world=world, resume=resume))
        source = replace(source, start=began.folder if began else None)
        begin = course(recipe.training.task).open
        lessons = stack.enter_context(begin(recipe, source, out, world=world, resume=resume))
        model = (began.model if began else recipe.build(**lessons.sizes)).to(rank_device())
        if world.is_main:
            say(f"{_introduction(recipe, model)} · {lessons.introduction}")
        if began and start and world.is_main:
            task = make_task(model, lessons.data, lessons.valid, recipe.training, lessons.tokenizer)
            say(tell(began, start, task.objective.model))
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
            say(_conclusion(result, out, lessons.then))
            if recipe.training.diagnose_every:
                draw_optimisation(out)
            if as_json:
                answer(_facts(result, out))
    return INTERRUPTED if result.interrupted else 0


def draw_optimisation(out: Path) -> None:
    """Write the page of what was diagnosed in a run, if anything was.

    Raises:
        RunError: the disk is full.
    """
    page = optimisation_page(out.name, (out / METRICS).read_text(encoding="utf-8"))
    if page is not None:
        write_whole(out / PAGE, page)
        say(f"how the optimisation went: {out / PAGE}")


def _introduction(recipe: Recipe, model: Model) -> str:
    parameters = sum(parameter.numel() for parameter in model.parameters())
    memory = (
        f"{bytes_text(model.eval().init_memory(1).nbytes)} of memory a session"
        if isinstance(model, LanguageModel)
        else "an encoder without memory"
    )
    return f"{recipe.architecture}: {parameters:,} parameters, {memory}"


def _conclusion(result: Result, out: Path, then: str) -> str:
    per = result.per
    best = "" if result.best_bits is None else f", best {result.best_bits:.4f} bits/{per.name} on {per.unseen}"
    done = f"{result.step:,} steps in {duration_text(result.seconds)}{best}; saved {result.checkpoint}"
    if result.interrupted:
        return f"stopped after {done}\ngo on with: {_resume_command(out)}"
    return f"done: {done}\ntry: everlong {then.format(run=shlex.quote(str(out)))}"


def _facts(result: Result, out: Path) -> dict[str, Any]:
    return {
        "run": str(out),
        "ending": result.ending,
        "step": result.step,
        "seconds": result.seconds,
        "loss": result.loss,
        f"best_bits_per_{result.per.name}": result.best_bits,
        "best_step": result.best_step,
        "checkpoint": str(result.checkpoint),
        "resume": _resume_command(out),
    }


def _resume_command(out: Path) -> str:
    return f"everlong train --resume --out {shlex.quote(str(out))}"
