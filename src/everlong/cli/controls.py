"""``everlong probe MODEL``: a model learns generated tasks of tokens beside its controls, and all are measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import typer
from rich.console import Console

from everlong.checkpoint import list_checkpoints
from everlong.cli.contestants import CONTROLS, STANDARD, Contestant, changes_for, contestants
from everlong.cli.corpus import Source
from everlong.cli.output import answer, say
from everlong.cli.recall import LANES, about_task, cuts, facts, held, measured
from everlong.cli.recall_table import Column, recall_table, show
from everlong.cli.training import run_training
from everlong.data.synthetic import RULES, TokenRules
from everlong.errors import ConfigError, did_you_mean
from everlong.evaluate.bits import READINGS
from everlong.evaluate.recall import Recall, require_readings
from everlong.run import load

Measured = tuple[Contestant, dict[str, Any], tuple[Recall, ...]]
"""A training, facts of the model that came of it, and what that answers."""


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
    require_readings(sequences=request.sequences, lanes=LANES, chunk=request.chunk)
    changes = {
        task: changes_for(task, request.changes, tasks=tasks, architecture=request.model) for task in tasks
    }  # fmt: skip
    contest = [
        one
        for task in tasks
        for seed in seeds
        for one in contestants(request.model, task, seed, changes[task], minutes=request.minutes, out=request.out)
    ]
    say(f"{len(contest)} trainings of {request.minutes:g} min each, as far as {request.out} does not hold them")
    for one in contest:
        say(f"{one.task}, seed {one.seed}, {one.name}")
        source = Source(data=(), valid=(), separator=None, tokenizer="byte")
        resume = bool(list_checkpoints(one.folder))
        if code := run_training(one.recipe, source, one.folder, start=None, resume=resume, threads=0, as_json=False):
            say("the same everlong probe command goes on with this one and the rest")
            raise typer.Exit(code)
    report(request, [measure(one, request) for one in contest])


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


def measure(one: Contestant, request: ModelRequest) -> Measured:
    """Facts of a trained model, and what it answers."""
    model = load(one.folder).language_model
    return one, facts(model), measured(model, rules_of(one), sequences=request.sequences, chunk=request.chunk)


def rules_of(one: Contestant) -> TokenRules:
    """How the sequences are drawn that it learns."""
    rules = one.recipe.options
    assert isinstance(rules, TokenRules)
    return rules


def report(request: ModelRequest, contest: Sequence[Measured]) -> None:
    """Print a table for each task, or everything as JSON."""
    for task in (by_task := {one.task: [m for m in contest if m[0].task == one.task] for one, _, _ in contest}):
        if not request.as_json:
            _print(request.model, task, by_task[task])
    if request.as_json:
        tasks = [{**about_task(rules_of(of[0][0])), "measured": [told(*one) for one in of]} for of in by_task.values()]
        answer({"model": request.model, "minutes": request.minutes, "tasks": tasks})


def told(one: Contestant, about: dict[str, Any], found: Sequence[Recall]) -> dict[str, Any]:
    """What was measured of one training, as JSON values."""
    trials = [trial.to_dict() for trial in found]
    return {"name": one.name, "seed": one.seed, "run": str(one.folder), **about, "trials": trials}


def _print(model: str, task: str, contest: Sequence[Measured]) -> None:
    console = Console()
    of = {name: [measured for measured in contest if measured[0].name == name] for name in (model, *CONTROLS)}
    found = of[model][0][2]
    which = "answers" if found[0].across_by_mark is None else "answers across a cut"
    console.print(f"{task}, {found[0].n_sequences:,} sequences of each size, {which}")
    for name, ((one, about, _), *_) in of.items():
        what = f"transformer with context={one.recipe.fields['context']}, " if name in CONTROLS else ""
        console.print(f"  {name}: {what}{held(about)}", soft_wrap=True)
    carried = [measured[2] for measured in of[model]]
    columns = [Column(name=reading, found=carried, reading=reading) for reading in READINGS]
    columns += [Column(name=name, found=[measured[2] for measured in of[name]]) for name in CONTROLS]
    show(recall_table(columns, across=True))
    console.print(cuts(found), style="dim")
