"""``everlong probe MODEL``: a model learns generated tasks of tokens beside two controls, and all are measured.

window    a transformer that sees no further back than a quarter of a sequence of training
full      a transformer that sees the longest sequence as a whole

Both have the sizes of the model as far as they have such, and train as long, on the same sequences. What the model has
more than the first it owes to remembering; the second is what there is to be had from attention to all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import typer
from rich.console import Console

from everlong.checkpoint import list_checkpoints
from everlong.cli.corpus import Source
from everlong.cli.output import answer, say
from everlong.cli.recall import about_task, cuts, facts, held, measured
from everlong.cli.recall_table import Column, recall_table, show
from everlong.cli.recipe import Recipe, new_recipe
from everlong.cli.settings import Fields, merge_fields
from everlong.cli.training import run_training
from everlong.data.synthetic import RULES, TokenRules
from everlong.errors import ConfigError, did_you_mean
from everlong.evaluate.bits import READINGS
from everlong.evaluate.episodes import draw_measured
from everlong.evaluate.recall import PARTS, Recall
from everlong.models import describe_model
from everlong.models.transformer import TransformerConfig
from everlong.run import load
from everlong.train import TrainConfig

STANDARD: dict[str, Fields] = {"multi-query-recall": {"length": 32, "pairs": 2, "symbols": 32}}
"""Tasks that are learned unless others are named, with the fields that make them small enough for minutes on a CPU."""
SIZES: Fields = {"d_model": 64, "n_layers": 2, "n_heads": 1, "d_ff": 64}
"""Sizes of models unless others are given, as far as they have such."""
TRAINING: Fields = {"lanes": 64, "lr": 3e-3, "clip": 1.0, "eval_every": 0}
"""Settings of training unless others are given. Nothing is measured on the way, so that no measurement is chosen."""
SHARED = ("d_model", "n_layers", "n_heads", "d_ff", "dropout")
"""Fields that the controls take from the model."""
WINDOW, FULL = "window", "full"
CONTROLS = (WINDOW, FULL)
"""What the controls are called: in tables, and as folders."""
DRAWN = 100
"""Sequences of each size that are drawn to know how long they are."""


@final
@dataclass(frozen=True, kw_only=True)
class ModelRequest:
    """What is asked for, as it was written; ``None`` where nothing was given."""

    model: str
    tasks: str | None
    minutes: float | None
    seeds: str | None
    out: Path | None
    changes: Mapping[str, Any]
    sequences: int | None
    chunk: int | None
    as_json: bool


@final
@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One training: the model or a control, on a task, with a seed."""

    name: str
    task: str
    seed: int
    recipe: Recipe
    folder: Path


def probe_model(request: ModelRequest) -> None:
    """Train what is not trained yet, measure everything, and print a table for each task.

    Raises:
        ConfigError: something is missing, unknown or does not fit; nothing has been trained then.
        RunError: a folder cannot be used, or holds a training with other settings.
    """
    if request.minutes is None or request.out is None:
        missing = " and ".join(n for n, v in {"--minutes": request.minutes, "--out": request.out}.items() if v is None)
        raise ConfigError(
            f"{missing} is missing: {request.model} and its controls are trained first. "
            f"Write everlong probe {request.model} --minutes 5 --out DIR."
        )
    tasks = named_tasks(request.tasks)
    seeds = named_seeds(request.seeds)
    contest = [
        one
        for task in tasks
        for seed in seeds
        for one in contestants(request, task, seed, tasks=tasks, minutes=request.minutes, out=request.out)
    ]
    say(f"{len(contest)} trainings of {request.minutes:g} minutes each, as far as {request.out} does not hold them")
    for one in contest:
        say(f"{one.task}, seed {one.seed}, {one.name}")
        source = Source(data=(), valid=(), separator=None, tokenizer="byte")
        resume = bool(list_checkpoints(one.folder))
        if code := run_training(one.recipe, source, one.folder, start=None, resume=resume, threads=0, as_json=False):
            say("the same everlong probe command goes on with this one and the rest")
            raise typer.Exit(code)
    report(request, [(one, *measure(one, request)) for one in contest])


def named_tasks(words: str | None) -> list[str]:
    """The tasks that are named, each once, or the standard ones.

    Raises:
        ConfigError: there is no such task, or it is not of tokens.
    """
    names = list(STANDARD) if words is None else list(dict.fromkeys(word.strip() for word in words.split(",")))
    able = [name for name, rules in RULES.items() if issubclass(rules, TokenRules)]
    for name in names:
        if name not in able:
            what = "is not of tokens, and has no control" if name in RULES else "is no generated task"
            raise ConfigError(
                f"'{name}' {what}.{did_you_mean(name, able)} Tasks that a model can be probed on: {', '.join(able)}."
            )
    return names


def named_seeds(words: str | None) -> list[int]:
    """The seeds that are named, each once; 0 unless any is.

    Raises:
        ConfigError: one is no number from 0 on.
    """
    if words is None:
        return [0]
    seeds = [word.strip() for word in words.split(",")]
    if wrong := [word for word in seeds if not word.isascii() or not word.isdigit()]:
        raise ConfigError(f"--seeds {words} has '{wrong[0]}' for a seed. Write numbers from 0 on: --seeds 0,1,2.")
    return list(dict.fromkeys(int(word) for word in seeds))


def contestants(
    request: ModelRequest, task: str, seed: int, *, tasks: Sequence[str], minutes: float, out: Path
) -> list[Contestant]:
    """The model and its two controls.

    Raises:
        ConfigError: a field is unknown or does not fit, or the model cannot learn the task.
    """
    name, config = request.model, describe_model(request.model)[1]
    usual = {f"model.{field}": size for field, size in SIZES.items() if field in config.model_fields}
    usual |= {f"train.{field}": value for field, value in TRAINING.items()}
    usual |= {f"task.{field}": value for field, value in STANDARD.get(task, {}).items()}
    changes = changes_of(request.changes, task, tasks, known={*config.model_fields, *TrainConfig.model_fields})
    recipe = new_recipe(name, [usual, merge_fields(changes, {"task": task, "minutes": minutes, "seed": seed})])
    rules = recipe.options
    assert isinstance(rules, TokenRules)
    recipe.check(**rules.model_sizes)
    whole = config.parse({**recipe.fields, **rules.model_sizes})
    sizes = {field: getattr(whole, field, SIZES.get(field)) for field in SHARED}
    lengths = [max(len(e.inputs) for e in draw_measured(rules, sizes, count=DRAWN)) for sizes in rules.trials()]
    contexts = {WINDOW: 1 + lengths[0] // PARTS // whole.n_layers, FULL: max(lengths)}
    recipes = {name: recipe}
    for control, context in contexts.items():
        fields = TransformerConfig.parse({**sizes, "context": context}).model_dump(include={*SHARED, "context"})
        recipes[control] = replace(recipe, architecture="transformer", fields=fields)
    return [
        Contestant(name=key, task=task, seed=seed, recipe=value, folder=out / task / f"{key}-{seed}")
        for key, value in recipes.items()
    ]


def changes_of(changes: Mapping[str, Any], task: str, tasks: Sequence[str], *, known: set[str]) -> Fields:
    """The changes without those that are fields of other tasks alone.

    >>> changes_of({"symbols": 64, "task.needles": 2, "lr": 0.1}, "multi-query-recall", [], known={"lr"})
    {'symbols': 64, 'task.needles': 2, 'lr': 0.1}
    """
    others = {field for name in tasks if name != task for field in RULES[name].model_fields}
    others -= RULES[task].model_fields.keys()
    return {
        key: value
        for key, value in changes.items()
        if not (key.removeprefix("task.") in others and (key.startswith("task.") or key not in known))
    }


def measure(one: Contestant, request: ModelRequest) -> tuple[dict[str, Any], tuple[Recall, ...]]:
    """Facts of a trained model, and what it answers."""
    model, rules = load(one.folder).language_model, one.recipe.options
    assert isinstance(rules, TokenRules)
    return facts(model), measured(model, rules, sequences=request.sequences, chunk=request.chunk)


def report(request: ModelRequest, contest: Sequence[tuple[Contestant, dict[str, Any], tuple[Recall, ...]]]) -> None:
    """Print a table for each task, or everything as JSON."""
    tasks = {one.task: one.recipe.options for one, _, _ in contest}
    if request.as_json:
        answer(
            {
                "model": request.model,
                "minutes": request.minutes,
                "tasks": [
                    {
                        **about_task(rules),
                        "measured": [
                            {
                                "name": one.name,
                                "seed": one.seed,
                                "run": str(one.folder),
                                **about,
                                "trials": [trial.to_dict() for trial in found],
                            }
                            for one, about, found in contest
                            if one.task == task
                        ],
                    }
                    for task, rules in tasks.items()
                    if isinstance(rules, TokenRules)
                ],
            }
        )
        return
    console = Console()
    for task in tasks:
        of = {
            name: [c for c in contest if c[0].task == task and c[0].name == name] for name in (request.model, *CONTROLS)
        }
        found = of[request.model][0][2]
        told = "answers" if found[0].across_by_mark is None else "answers across a cut"
        console.print(f"{task}, {found[0].n_sequences:,} sequences of each size, {told}")
        for name, ((one, about, _), *_) in of.items():
            context = f" with context={one.recipe.fields['context']}" if name in CONTROLS else ""
            console.print(f"  {name}: {one.recipe.architecture}{context}, {held(about)}")
        columns = [
            Column(name=name if reading == READINGS[0] else reading, found=[c[2] for c in of[name]], reading=reading)
            for name in of
            for reading in (READINGS[:1] if name in CONTROLS else READINGS)
        ]
        show(recall_table(columns, across=True))
        console.print(cuts(found), style="dim")
