"""What to train and how: the words of a command line, a settings file and an earlier run, made into one recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast, final

from everlong.cli.examples import FORMATS, stored_options
from everlong.cli.settings import Fields, assign_fields
from everlong.config import Config
from everlong.data.sealed import read_sealed
from everlong.data.synthetic import RULES
from everlong.errors import ConfigError, RunError
from everlong.models import create_model, describe_model
from everlong.models.base import Model
from everlong.run import model_of
from everlong.train import TrainConfig
from everlong.train.config import TaskName
from everlong.train.folder import rules_of
from everlong.train.tasks import TASK_OF_KIND, require_learnable

FROM_DATA = {
    "vocab_size": "the tokenizer, or of the task. Give --tokenizer byte or, for example, bpe:8000",
    "input_size": "the task. Give --task copy or, for example, --set task.bits=6",
    "output_size": "the task. Give --task copy or, for example, --set task.bits=6",
}
"""Fields of a model that nobody chooses, and what to choose instead."""


@final
@dataclass(frozen=True, kw_only=True)
class Recipe:
    """An architecture, its fields without those that follow from the data, and training settings."""

    architecture: str
    fields: Fields
    training: TrainConfig
    options: Config | None = None
    """What is chosen about the task itself: how sequences are drawn, or examples made."""

    def build(self, **sizes: int) -> Model:
        """A new model of sizes that follow from the data; the seed decides its weights.

        Raises:
            ConfigError: a field does not fit.
        """
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.training.seed)
            return create_model(self.architecture, **{**self.fields, **sizes})

    def check(self, **sizes: int) -> None:
        """Refuse fields that do not fit, before any text is read.

        Raises:
            ConfigError: a field does not fit, or the task is for other models.
        """
        require_learnable(self.training.task, self.architecture)
        describe_model(self.architecture)[1].parse({**self.fields, **sizes})


def new_recipe(architecture: str, layers: Sequence[Mapping[str, Any]]) -> Recipe:
    """The recipe of a new run; where several layers give a field, the last one counts.

    Raises:
        ConfigError: no architecture has that name, or a field is unknown or does not fit.
    """
    usual = TASK_OF_KIND[describe_model(architecture)[0]]
    before: Fields = {"task": usual}
    task = _task(layers) or usual
    options = options_of(task)
    given = _assign(architecture, layers, task)
    return Recipe(
        architecture=architecture,
        fields=given["model"],
        training=TrainConfig.parse(_limits(given["train"], before=before)),
        options=options and options.parse(given["task"]),
    )


def started_recipe(start: Path, architecture: str, layers: Sequence[Mapping[str, Any]]) -> Recipe:
    """The recipe of a new run that begins with the weights of another one: its model, some fields changed.

    Raises:
        ConfigError: a field is unknown or does not fit, or the task is for other models.
        RunError: another architecture is asked for, or there is no run.
        DamagedFile: its ``config.json`` is altered.
    """
    theirs, fields = model_of(start)
    if architecture not in ("", theirs):
        raise RunError(
            f"the weights in {start} are those of a {theirs}, not of a {architecture}. "
            f"Name {theirs}, or leave out --from."
        )
    recipe = new_recipe(theirs, layers)
    return replace(recipe, fields={**chosen(fields), **recipe.fields})


def chosen(fields: Fields) -> Fields:
    """The fields of a model that somebody chose, without those that followed from the data."""
    return {name: value for name, value in fields.items() if name not in FROM_DATA}


def resumed_recipe(run: Path, architecture: str, layers: Sequence[Mapping[str, Any]]) -> Recipe:
    """The recipe of a run that goes on: what its folder says, with what is given now in its place.

    Raises:
        ConfigError: a field is unknown or does not fit.
        RunError: another architecture or task is asked for.
        DamagedFile: ``config.json`` or ``train.json`` is missing or altered, or what sequences are drawn from is.
        DataError: what sequences are drawn from does not suffice for the new fields.
    """
    about, how = read_sealed(run / "config.json"), read_sealed(run / "train.json")
    theirs = str(about["architecture"])
    if architecture not in ("", theirs):
        raise RunError(f"the run in {run} is a {theirs}, not a {architecture}. Resume it without naming a model.")
    before = cast("Fields", how["training"])
    task = before["task"]
    given = _assign(theirs, layers, task)
    if given["train"].get("task", task) != task:
        raise RunError(f"the run in {run} learns task={task}, not {given['train']['task']}. Resume it without --task.")
    return Recipe(
        architecture=theirs,
        fields={**chosen(cast("Fields", about["model"])), **given["model"]},
        training=TrainConfig.parse(_limits(given["train"], before=before)),
        options=_changed_options(run, task, given["task"]),
    )


def _changed_options(run: Path, task: str, changes: Fields) -> Config | None:
    if rules := rules_of(run):
        return rules.replace(**changes)
    options = options_of(task)
    return options and options.parse({**stored_options(run), **changes})


def options_of(task: str) -> type[Config] | None:
    """The config of what may be chosen about a task; ``None`` where there is nothing, or no such task."""
    formats: dict[str, type[Config]] = {name: format_.options for name, format_ in FORMATS.items()}
    return {**RULES, **formats}.get(task)


def _task(layers: Sequence[Mapping[str, Any]]) -> str:
    """The task that the last layer with one names."""
    named = [str(layer[key]) for layer in layers for key in ("task", "train.task") if key in layer]
    return named[-1] if named else ""


def _assign(architecture: str, layers: Sequence[Mapping[str, Any]], task: str) -> dict[str, Fields]:
    configs: dict[str, type[Config]] = {"model": describe_model(architecture)[1], "train": TrainConfig}
    if options := options_of(task):
        require_learnable(cast("TaskName", task), architecture)
        configs["task"] = options
    given: dict[str, Fields] = {"model": {}, "train": {}, "task": {}}
    for layer in layers:
        for owner, fields in assign_fields(layer, configs).items():
            given[owner] |= fields
    for name, remedy in FROM_DATA.items():
        if name in given["model"]:
            raise ConfigError(f"{name} is that of {remedy}.")
    return given


def _limits(given: Fields, *, before: Fields) -> Fields:
    # A time limit alone means that time alone ends the run.
    only_time = given.get("minutes") and "steps" not in given
    return {**before, **({"steps": 0} if only_time else {}), **given}
