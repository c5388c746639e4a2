"""The terms of a comparison: what is the same for all models, and what each has of its own."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from everlong.data.synthetic import RULES, Rules, TokenRules
from everlong.errors import ConfigError, did_you_mean
from everlong.models import describe_model
from everlong.train import TrainConfig
from everlong.train.tasks import require_learnable

PROBE_SHARE = 0.25
"""How long each probe is trained for, as a part of the time or the updates that the text is given."""

SHARED = frozenset(
    {"accumulate", "eval_every", "eval_sequences", "eval_tokens", "keep", "precision", "recompute", "save_every"}
    | {"window"}
)
"""Training fields that ``--set`` may change for all models together."""
OWN = frozenset({"clip", "lr", "memory_dropout", "min_lr_ratio", "warmup", "weight_decay"})
"""Training fields that a model may also have a value of its own for."""
FROM_DATA = frozenset({"vocab_size", "input_size", "output_size"})

USUAL: dict[str, Any] = {"warmup": 30, "eval_every": 100, "eval_tokens": 16_384, "save_every": 100, "keep": 1}
"""Training fields of a comparison that are others than those of ``everlong train``: runs are short."""

Fields = Mapping[str, Any]


@final
@dataclass(frozen=True, kw_only=True)
class Turn:
    """One run: a model, a seed, and what is learned: text, or the task of a probe."""

    model: str
    seed: int
    probe: str = ""

    @property
    def name(self) -> str:
        """The folder of the run."""
        return f"{self.model}-{self.seed}" + (f"-{self.probe}" if self.probe else "")


@final
@dataclass(frozen=True, kw_only=True)
class Terms:
    """What is compared, and how."""

    models: tuple[str, ...]
    seeds: tuple[int, ...]
    training: TrainConfig
    """Of every model on text, but for the seed and what a model has of its own."""
    threads: int
    operations: float = 0.0
    """Of each run, where they are its budget: updates then follow from what one costs the model."""
    fields: Mapping[str, Fields] = field(default_factory=dict[str, Fields])
    """Fields of each model that are not its defaults."""
    own: Mapping[str, Fields] = field(default_factory=dict[str, Fields])
    """Training fields that a model has a value of its own for."""
    probes: Mapping[str, Rules] = field(default_factory=dict[str, Rules])

    def turns(self) -> list[Turn]:
        """Every run in its order: seed by seed, so that a slow spell of the machine meets all models alike."""
        return [
            Turn(model=model, seed=seed, probe=probe)
            for seed in self.seeds
            for probe in ("", *self.probes)
            for model in self.models
        ]

    def training_of(self, turn: Turn, *, operations: float = 0.0) -> TrainConfig:
        """The training settings of a run of which an update takes so many operations.

        Raises:
            ConfigError: a field does not fit.
        """
        steps = self.training.steps
        if self.operations and operations:
            steps = math.ceil(self.operations / operations)
        changes: dict[str, Any] = {**self.own.get(turn.model, {}), "seed": turn.seed, "steps": steps}
        if turn.probe:
            steps = math.ceil(PROBE_SHARE * steps)
            minutes = PROBE_SHARE * self.training.minutes
            changes |= {"task": turn.probe, "steps": steps, "minutes": minutes, "memory_dropout": 0.0}
        return self.training.replace(**changes)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            "models": list(self.models),
            "seeds": list(self.seeds),
            "training": self.training.model_dump(mode="json"),
            "threads": self.threads,
            "operations": self.operations,
            "fields": {model: dict(fields) for model, fields in self.fields.items()},
            "own": {model: dict(fields) for model, fields in self.own.items()},
            "probes": {name: rules.model_dump(mode="json") for name, rules in self.probes.items()},
        }


def make_terms(
    *,
    models: Sequence[str],
    seeds: Sequence[int],
    probes: Sequence[str] = (),
    steps: int | None,
    minutes: float | None,
    operations: float | None = None,
    lanes: int,
    chunk: int,
    threads: int,
    assigned: Fields,
) -> Terms:
    """The terms that a command line asks for. A plain field is one of all models that have it, or of the training.

    Raises:
        ConfigError: a model, probe or field is unknown, given twice or does not fit, or there is no budget.
    """
    _require_each_once(models, "--models", "gru,transformer-xl")
    _require_each_once(seeds, "--seeds", "0,1,2")
    for model in models:
        describe_model(model)
        require_learnable("lm", model)
    if sum(budget is not None for budget in (steps, minutes, operations)) != 1:
        raise ConfigError("a comparison has one budget for every run. Give --minutes, or --steps, or --operations.")
    if operations is not None and not math.isfinite(operations):
        raise ConfigError(f"operations={operations:g} is no budget. Give a finite number, for example 1e13.")
    rules = _rules(probes)
    owners: dict[str, set[str]] = {name: set(describe_model(name)[1].model_fields) - FROM_DATA for name in models}
    owners |= {name: set(type_.model_fields) for name, type_ in rules.items()}
    owners["train"] = set(SHARED | OWN)
    given: dict[str, dict[str, Any]] = {name: {} for name in owners}
    own: dict[str, dict[str, Any]] = {}
    for key, value in assigned.items():
        owner, dot, name = key.partition(".")
        if dot and owner in models and name in OWN:
            own.setdefault(owner, {})[name] = value
            continue
        for taker in _takers(key, owners, models):
            given[taker][name if dot else key] = value
    # Until an update is counted, a budget of operations is one of any number of updates.
    limits = {"steps": steps or int(operations is not None), "minutes": minutes or 0.0, "lanes": lanes, "chunk": chunk}
    terms = Terms(
        models=tuple(models),
        seeds=tuple(seeds),
        training=TrainConfig.parse({**USUAL, **given["train"], **limits}),
        threads=threads,
        operations=operations or 0.0,
        fields={model: given[model] for model in models if given[model]},
        own=own,
        probes={name: type_.parse(given[name]) for name, type_ in rules.items()},
    )
    for turn in terms.turns():
        terms.training_of(turn)
        describe_model(turn.model)[1].parse(terms.fields.get(turn.model, {}))
    return terms


def _require_each_once(given: Sequence[object], option: str, example: str) -> None:
    if not given:
        raise ConfigError(f"{option} names nothing. Write, for example, {option} {example}.")
    for one in given:
        if given.count(one) > 1:
            raise ConfigError(f"{option} names {one} twice. Name it once.")


def _rules(probes: Sequence[str]) -> dict[str, type[Rules]]:
    known = {name: rules for name, rules in RULES.items() if issubclass(rules, TokenRules)}
    for probe in probes:
        if probe not in known:
            raise ConfigError(
                f"there is no probe '{probe}'.{did_you_mean(probe, known)} Probes are generated tasks of tokens: "
                f"{', '.join(known)}."
            )
        if list(probes).count(probe) > 1:
            raise ConfigError(f"--probes names {probe} twice. Name it once.")
    return {name: known[name] for name in probes}


def _takers(key: str, owners: Mapping[str, set[str]], models: Sequence[str]) -> list[str]:
    """Whose field it is: one owner's where a name stands before a dot, else all models' or the training's."""
    owner, dot, name = key.partition(".")
    if dot:
        if owner in owners and name in owners[owner]:
            return [owner]
        known = {f"{owner}.{one}" for owner, names in owners.items() for one in names}
        raise ConfigError(
            f"--set {key} is not a setting of this comparison.{did_you_mean(key, known)} Before the dot stands "
            f"one of {', '.join(owners)}, after it a field that it has and that --data, --lanes, --chunk, --seeds, "
            "--minutes and --steps do not decide."
        )
    takers = [model for model in models if key in owners[model]]
    if takers and key in owners["train"]:
        raise ConfigError(
            f"'{key}' may mean {' or '.join(f'{one}.{key}' for one in (*takers, 'train'))}. Write one of them."
        )
    if not takers and key in owners["train"]:
        return ["train"]
    if not takers:
        known = {one for names in owners.values() for one in names}
        raise ConfigError(
            f"--set {key}: none of {', '.join(models)} has such a field, nor can the training of a comparison be set "
            f"so.{did_you_mean(key, known)} Training fields are {', '.join(sorted(owners['train']))}."
        )
    return takers


def split_names(words: str) -> list[str]:
    """The names between commas.

    >>> split_names("gru, lstm")
    ['gru', 'lstm']
    """
    return [word.strip() for word in words.split(",") if word.strip()]


def split_seeds(words: str) -> list[int]:
    """The seeds between commas.

    Raises:
        ConfigError: one is not a whole number from 0 on.
    """
    for word in (found := split_names(words)):
        if not (word.isascii() and word.isdigit()):
            raise ConfigError(f"--seeds {words}: {word} is not a whole number from 0 on. Write, for example, 0,1,2.")
    return [int(word) for word in found]
