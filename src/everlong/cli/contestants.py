"""Who learns for ``everlong probe MODEL``: the model, and two controls that bound it from below and from above.

window    a transformer that sees no further back than a quarter of the longest sequence of training
full      a transformer that sees the longest sequence as a whole

Both have the sizes of the model as far as it has such, and train as long, on the same sequences. What the model has
more than the first it owes to remembering; the second is what there is to be had from attention to all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from everlong.cli.recipe import Recipe, new_recipe
from everlong.cli.settings import Fields, merge_fields
from everlong.data.synthetic import RULES, Sizes, TokenRules
from everlong.evaluate.episodes import draw_measured
from everlong.evaluate.recall import PARTS
from everlong.models import describe_model
from everlong.models.transformer import TransformerConfig
from everlong.train import TrainConfig

STANDARD: dict[str, Fields] = {
    "multi-query-recall": {"length": 32, "pairs": 2, "symbols": 32},
    "passkey": {"length": 64},
}
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
class Contestant:
    """One training: the model or a control, on a task, with a seed."""

    name: str
    task: str
    seed: int
    recipe: Recipe
    folder: Path


def contestants(
    name: str, task: str, seed: int, changes: Mapping[str, Any], *, minutes: float, out: Path
) -> list[Contestant]:
    """A model and its two controls, which learn a task under a folder; `changes` are fields that are not as usual.

    Raises:
        ConfigError: a field is unknown or does not fit, or the model cannot learn the task.
    """
    config = describe_model(name)[1]
    usual = {f"model.{field}": size for field, size in SIZES.items() if field in config.model_fields}
    usual |= {f"train.{field}": value for field, value in TRAINING.items()}
    usual |= {f"task.{field}": value for field, value in STANDARD.get(task, {}).items()}
    recipe = new_recipe(name, [usual, merge_fields(changes, {"task": task, "minutes": minutes, "seed": seed})])
    rules = recipe.options
    assert isinstance(rules, TokenRules)
    recipe.check(**rules.model_sizes)
    whole = config.parse({**recipe.fields, **rules.model_sizes})
    sizes = {field: getattr(whole, field, SIZES.get(field)) for field in SHARED}
    quarter = _longest(rules, [rules.largest]) // PARTS
    contexts = {WINDOW: 1 + quarter // whole.n_layers, FULL: _longest(rules, rules.trials())}
    recipes = {name: recipe}
    for control, context in contexts.items():
        fields = TransformerConfig.parse({**sizes, "context": context}).model_dump(include={*SHARED, "context"})
        recipes[control] = replace(recipe, architecture="transformer", fields=fields)
    return [
        Contestant(name=key, task=task, seed=seed, recipe=value, folder=out / task / f"{key}-{seed}")
        for key, value in recipes.items()
    ]


def _longest(rules: TokenRules, sizes: Sequence[Sizes]) -> int:
    """Tokens of the longest sequence of some sizes."""
    return max(len(episode.inputs) for size in sizes for episode in draw_measured(rules, size, count=DRAWN))


def changes_for(task: str, changes: Mapping[str, Any], *, tasks: Sequence[str], architecture: str) -> Fields:
    """The changes without those of fields that, of some tasks, others have and this one has not."""
    known = {*describe_model(architecture)[1].model_fields, *TrainConfig.model_fields}
    others = {field for name in tasks if name != task for field in RULES[name].model_fields}
    others -= RULES[task].model_fields.keys()
    return {
        key: value
        for key, value in changes.items()
        if not (key.removeprefix("task.") in others and (key.startswith("task.") or key not in known))
    }
