"""What to train and how: the words of a command line, a settings file and an earlier run, made into one recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, final

from everlong.cli.settings import Fields, assign_fields
from everlong.data.sealed import read_sealed
from everlong.errors import ConfigError, RunError
from everlong.models import create_model, describe_model
from everlong.models.base import Model
from everlong.train import TrainConfig
from everlong.train.tasks import TASK_OF_KIND, require_learnable


@final
@dataclass(frozen=True, kw_only=True)
class Recipe:
    """An architecture, its fields without the vocabulary, and training settings."""

    architecture: str
    fields: Fields
    training: TrainConfig

    def build(self, *, vocab_size: int) -> Model:
        """A new model; the seed decides its weights.

        Raises:
            ConfigError: a field does not fit.
        """
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.training.seed)
            return create_model(self.architecture, **{**self.fields, "vocab_size": vocab_size})

    def check(self, *, vocab_size: int) -> None:
        """Refuse fields that do not fit, before any text is read.

        Raises:
            ConfigError: a field does not fit, or the task is for other models.
        """
        kind, config, _ = describe_model(self.architecture)
        config.parse({**self.fields, "vocab_size": vocab_size})
        require_learnable(self.training.task, self.architecture, kind)


def new_recipe(architecture: str, layers: Sequence[Mapping[str, Any]]) -> Recipe:
    """The recipe of a new run; where several layers give a field, the last one counts.

    Raises:
        ConfigError: no architecture has that name, or a field is unknown or does not fit.
    """
    model, training = _assign(architecture, layers)
    before: Fields = {"task": TASK_OF_KIND[describe_model(architecture)[0]]}
    return Recipe(architecture=architecture, fields=model, training=TrainConfig.parse(_limits(training, before=before)))


def resumed_recipe(run: Path, architecture: str, layers: Sequence[Mapping[str, Any]]) -> Recipe:
    """The recipe of a run that goes on: what its folder says, with what is given now in its place.

    Raises:
        ConfigError: a field is unknown or does not fit.
        RunError: another architecture is asked for.
        DamagedFile: ``config.json`` or ``train.json`` is missing or altered.
    """
    about, how = read_sealed(run / "config.json"), read_sealed(run / "train.json")
    theirs = str(about["architecture"])
    if architecture not in ("", theirs):
        raise RunError(f"the run in {run} is a {theirs}, not a {architecture}. Resume it without naming a model.")
    stored = {name: value for name, value in cast("Fields", about["model"]).items() if name != "vocab_size"}
    model, training = _assign(theirs, layers)
    before = cast("Fields", how["training"])
    return Recipe(
        architecture=theirs,
        fields={**stored, **model},
        training=TrainConfig.parse(_limits(training, before=before)),
    )


def _assign(architecture: str, layers: Sequence[Mapping[str, Any]]) -> tuple[Fields, Fields]:
    configs = {"model": describe_model(architecture)[1], "train": TrainConfig}
    model: Fields = {}
    training: Fields = {}
    for layer in layers:
        given = assign_fields(layer, configs)
        model |= given["model"]
        training |= given["train"]
    if "vocab_size" in model:
        raise ConfigError("vocab_size is that of the tokenizer. Give --tokenizer byte or, for example, bpe:8000.")
    return model, training


def _limits(given: Fields, *, before: Fields) -> Fields:
    # A time limit alone means that time alone ends the run.
    only_time = given.get("minutes") and "steps" not in given
    return {**before, **({"steps": 0} if only_time else {}), **given}
