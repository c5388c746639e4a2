"""``--from DIR``: the weights and the tokenizer of another run, with which this one begins.

They are kept in the run's folder, as a run called ``start``, so that it goes on without DIR whenever it stopped.
"""

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from everlong.checkpoint import CHECKPOINTS, list_checkpoints, save_checkpoint, untie
from everlong.cli.recipe import Recipe, chosen
from everlong.errors import EverlongError, RunError
from everlong.models.base import Model
from everlong.run import Run, load
from everlong.train.distribution import World
from everlong.train.folder import CONVERTED_FROM, START, claimed, data_of, describe, training_of


@contextmanager
def started(recipe: Recipe, other: Path | None, out: Path, *, world: World, resume: bool) -> Generator[Run | None]:
    """What a run begins with, or began with, its model with the fields of the recipe; ``None`` if nothing.

    It is copied on rank 0 where need be, and taken away again if no training comes of it.

    Raises:
        ConfigError: weights depend on a field that is changed, or the other run learned from no text.
        RunError: there is no other run, or the folder was prepared to begin with something else.
        DamagedFile: a file of the other run, or of the copy, is altered.
    """
    home = out / START
    there = world.on_main(lambda: "yes" if list_checkpoints(home) else "") == "yes"
    if not resume:
        world.on_main(lambda: _keep(other, home))
    try:
        yield _load(home, recipe) if there or other else None
    except EverlongError:
        if not there and world.is_main and not (out / CHECKPOINTS).exists():
            shutil.rmtree(home, ignore_errors=True)
            if out.is_dir() and not any(out.iterdir()):
                out.rmdir()
        raise


def _keep(other: Path | None, home: Path) -> str:
    run = load(other) if other else None
    if list_checkpoints(home):
        if run is None or load(home).model.weights_digest() != run.model.weights_digest():
            raise RunError(
                f"{home.parent} was prepared to begin with the weights of another run. "
                "Choose another folder, or remove this one."
            )
    elif run is not None:
        tokenizer, weights = run.tokenizer, untie(run.model, run.model.state_dict())
        with claimed(home, resume=False):
            describe(home, run.model, tokenizer, training_of(run.folder), data_of(run.folder))
            state = {"step": run.checkpoint.step, "best_step": None}
            save_checkpoint(home, tensors={"model": weights}, state=state, keep=1)
    return ""


def _load(home: Path, recipe: Recipe) -> Run:
    run = load(home)
    before = chosen(run.config.model_dump(mode="json"))
    changes = {name: value for name, value in recipe.fields.items() if before[name] != value}
    return replace(run, model=run.model.with_config(**changes)) if changes else run


def tell(run: Run, other: Path, trained: Model) -> str:
    """What a run begins with, and what becomes of the heads that tasks put on a model, in words."""
    converted = data_of(run.folder).get(CONVERTED_FROM)
    task = training_of(run.folder).task
    learned = f"converted from {converted}" if converted else f"task={task}, {run.checkpoint.step:,} steps"
    before, now = run.model.heads, trained.heads
    new = [f"; the head for {name} is new" for name, head in now.items() if before.get(name) is not head]
    left = [f"; the head for {name} is left behind" for name, head in before.items() if now.get(name) is not head]
    return f"begins with the weights of {other} ({learned})" + "".join(new + left)
