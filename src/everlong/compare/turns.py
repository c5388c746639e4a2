"""Every run in its turn: trained, measured, and its figures kept, so that a comparison that was killed goes on.

DIR/MODEL-SEED              an ordinary run                DIR/store, DIR/valid         the text that all share
DIR/figures/MODEL-SEED.json what was found of it           DIR/settings.json            the terms
"""

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, final

import torch

from everlong.checkpoint import CONFIG
from everlong.compare.curves import read_metrics, speed, thinned
from everlong.compare.figures import Place, ProbeFigures, RunFigures, TextFigures
from everlong.compare.operations import operations_of_update
from everlong.compare.terms import Terms, Turn
from everlong.data import LaneReader, Tokenizer, TokenStore
from everlong.data.sealed import read_sealed, write_sealed
from everlong.data.synthetic import EpisodeReader
from everlong.errors import Diverged, RunError
from everlong.evaluate import Evaluation, evaluate, evaluate_episodes
from everlong.models import create_model
from everlong.models.base import AnyLanguageModel
from everlong.plan.trial import full_memory
from everlong.run import Run, load
from everlong.storage import disk_errors
from everlong.train import Progress, Result, TrainConfig, rank_device, train

SETTINGS, FIGURES = "settings.json", "figures"

MEASURED_TOKENS = 65_536
"""Tokens of the held-out text, at most, that the finished runs are measured on."""
MEASURED_LANES = 8
SEQUENCES = 200
"""Sequences of a probe that the finished runs are measured on."""


@final
@dataclass(frozen=True, kw_only=True)
class Texts:
    """What all learn from, what all are measured on, and what made both."""

    train: TokenStore
    valid: TokenStore
    tokenizer: Tokenizer


@final
@dataclass(frozen=True, kw_only=True)
class Standing:
    """Which run of how many it is now."""

    number: int
    total: int
    turn: Turn
    seconds_after: float
    """How long the runs after it will take, where only time limits them."""


Report = Callable[[Standing, Progress], None]


def agree(terms: Mapping[str, Any], folder: Path) -> bool:
    """Note the terms in a new folder, or make sure that they are those of the comparison in it; whether it is new.

    Raises:
        RunError: the folder holds something else, or a comparison on other terms.
        DamagedFile: the terms noted there are altered.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file, a comparison needs a folder. Choose another name.")
    if (folder / SETTINGS).exists():
        before = read_sealed(folder / SETTINGS)
        for name, value in terms.items():
            if before.get(name) != value:
                raise RunError(
                    f"the comparison in {folder} was begun with other {_differing(name, before.get(name), value)}. "
                    "Give the same command again to go on with it, or choose another folder."
                )
        return False
    if folder.exists() and any(folder.iterdir()):
        raise RunError(f"{folder} is not empty and holds no comparison. Choose a new folder, or one that is empty.")
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_sealed(folder / SETTINGS, terms)
    return True


def withdraw(folder: Path) -> None:
    """Take the terms away again, and the texts that were made, where no run came of them."""
    (folder / SETTINGS).unlink()
    for name in (FIGURES, "store", "valid"):
        shutil.rmtree(folder / name, ignore_errors=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def run_turns(terms: Terms, texts: Texts, folder: Path, *, report: Report) -> list[RunFigures] | None:
    """Train and measure what is not yet; the figures of all runs, or ``None`` after Ctrl-C.

    A run whose loss is not finite is noted as failed, and the others go on.

    Raises:
        EverlongError: a run cannot begin or go on for another reason.
    """
    found: list[RunFigures] = []
    turns = terms.turns()
    with disk_errors(folder):
        (folder / FIGURES).mkdir(exist_ok=True)
    for number, turn in enumerate(turns, start=1):
        kept = folder / FIGURES / f"{turn.name}.json"
        if not kept.exists():
            after = sum(60 * terms.training_of(later).minutes for later in turns[number:])
            standing = Standing(number=number, total=len(turns), turn=turn, seconds_after=after)
            figures = _take(terms, turn, texts, folder / turn.name, lambda now, at=standing: report(at, now))
            if figures is None:
                return None
            write_sealed(kept, figures.model_dump(mode="json"))
        found.append(RunFigures.parse(cast("dict[str, Any]", read_sealed(kept))))
    return found


def _take(terms: Terms, turn: Turn, texts: Texts, home: Path, report: Callable[[Progress], None]) -> RunFigures | None:
    rules = terms.probes.get(turn.probe)
    sizes = rules.model_sizes if rules else {"vocab_size": texts.tokenizer.vocab_size}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(turn.seed)
        model = create_model(turn.model, **{**terms.fields.get(turn.model, {}), **sizes}).to(rank_device())
    about = RunFigures(
        model=turn.model,
        seed=turn.seed,
        probe=turn.probe,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
    )
    each = _operations_each(model, terms, turn, texts)
    config = terms.training_of(turn, operations=each)
    try:
        result = train(
            model,
            rules or texts.train,
            None if rules else texts.valid,
            config,
            home,
            tokenizer=None if rules else texts.tokenizer,
            resume=(home / CONFIG).is_file(),
            report=report,
        )
    except Diverged as error:
        return about.replace(failure=str(error).partition(". ")[0])
    if result.interrupted:
        return None
    return _measured(about.replace(operations=each * result.step), result, config, terms, texts, load(home))


def _operations_each(model: AnyLanguageModel, terms: Terms, turn: Turn, texts: Texts) -> float:
    """Operations of an update: on text, with a memory of what is read before; of a probe, on its first sequences."""
    c = terms.training
    chunks = c.window * c.accumulate
    if rules := terms.probes.get(turn.probe):
        chunk = next(EpisodeReader(rules, seed=0, lanes=c.lanes)).to(model.device)
        return operations_of_update(model, chunk, None, chunks=chunks)
    chunk = next(LaneReader(texts.train, lanes=c.lanes, chunk=c.chunk)).to(model.device)
    return operations_of_update(model.train(), chunk, full_memory(model, c.lanes), chunks=chunks)


def _measured(
    about: RunFigures, result: Result, config: TrainConfig, terms: Terms, texts: Texts, run: Run
) -> RunFigures:
    lines = read_metrics(run.folder)
    model = run.language_model.to(rank_device())
    about = about.replace(
        steps=result.step, seconds=result.seconds, best_step=result.best_step, tokens_per_second=speed(lines)
    )
    if rules := terms.probes.get(about.probe):
        (trial,) = evaluate_episodes(model, rules, trials=(None,), sequences=SEQUENCES, lanes=MEASURED_LANES)
        by_mark = {mark: tally.accuracy for mark, tally in trial.by_mark.items()}
        probed = ProbeFigures(accuracy=1 - trial.wrong, by_mark=by_mark, n_sequences=trial.n_sequences)
        return about.replace(probed=probed)
    tokens_each = config.lanes * config.chunk * config.window * config.accumulate
    evaluation = evaluate(
        model,
        texts.valid,
        texts.tokenizer,
        lanes=min(MEASURED_LANES, texts.valid.n_documents),
        chunk=config.chunk,
        limit_tokens=MEASURED_TOKENS,
    )
    costs = (evaluation.bits_per_byte, evaluation.bits_per_byte_reset, evaluation.bits_per_byte_other)
    if not all(math.isfinite(cost) for cost in costs if cost is not None):
        return about.replace(failure="what the held-out text costs is not a finite number")
    return about.replace(
        tokens=result.step * tokens_each,
        curve=thinned(lines, tokens_each=tokens_each, operations_each=about.operations / result.step),
        text=_text_figures(evaluation),
    )


def _text_figures(found: Evaluation) -> TextFigures:
    places = tuple(
        Place(first=place.first, last=place.last, **_bits_of(place.bits.to_dict())) for place in found.by_position
    )
    return TextFigures(
        carried=found.bits_per_byte,
        reset=found.bits_per_byte_reset,
        other=found.bits_per_byte_other,
        n_bytes=found.total.n_bytes,
        n_documents=len(found.by_document),
        places=places,
    )


def _bits_of(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {name: figures[name] for name in ("n_bytes", "carried", "reset", "other")}


def _differing(name: str, was: object, now: object) -> str:
    """The name of what differs, down to the field; with both values where they are short."""
    if isinstance(was, dict) and isinstance(now, dict):
        theirs, ours = cast("dict[str, object]", was), cast("dict[str, object]", now)
        field = next(field for field in {**ours, **theirs} if theirs.get(field) != ours.get(field))
        return _differing(f"{name}.{field}", theirs.get(field), ours.get(field))
    short = len(f"{was}{now}") < 80
    return f"{name}: {was}, now {now}" if short else name
