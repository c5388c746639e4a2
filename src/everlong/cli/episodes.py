"""``everlong eval`` of a generated task: bits per sequence and wrong answers, by size and by mark."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from everlong.cli.output import answer
from everlong.cli.progress import counting
from everlong.cli.request import Request
from everlong.cli.settings import assign_fields
from everlong.data.synthetic import Omniglot, Rules, read_pictures
from everlong.evaluate.episodes import Trial, evaluate_episodes
from everlong.models.base import AnyLanguageModel
from everlong.run import Run
from everlong.train.folder import rules_of

if TYPE_CHECKING:
    from rich.table import Table

SEQUENCES = 100
"""Sequences of each size, unless a number is given."""


def eval_generated(request: Request) -> None:
    """Draw new sequences, as in training and of fixed sizes, and say how well the model does them.

    Raises:
        ConfigError: a field is unknown, or does not fit the task or the model.
        DataError: pictures cannot be read, or are too few.
    """
    trained, rules = request.run, rules_of(request.run.folder)
    assert rules is not None
    sequences = SEQUENCES if request.sequences is None else request.sequences
    model, rules = changed(trained, rules, request.changes)
    if isinstance(rules, Omniglot) and request.data:
        rules = rules.with_pictures(rules.pictures[0], read_pictures(request.data))
    trials = (None, *rules.trials())
    with counting("sequences", sequences * len(trials)) as report:
        found = evaluate_episodes(model, rules, trials=trials, sequences=sequences, lanes=request.lanes, report=report)
    if request.as_json:
        run, name = str(trained.folder), model.architecture
        rows = [trial.to_dict() for trial in found]
        answer({"run": run, "model": name, "task": rules.name, "rules": rules.model_dump(), "trials": rows})
    else:
        _print(rules, found)


def changed(trained: Run, rules: Rules, changes: Mapping[str, Any]) -> tuple[AnyLanguageModel, Rules]:
    """The model and the task of a run with some fields changed.

    Raises:
        ConfigError: a field is unknown, does not fit, or changes the weights.
    """
    fields = assign_fields(changes, {"model": type(trained.config), "task": type(rules)})
    model = trained.language_model
    if fields["model"]:
        model = model.with_config(**fields["model"])
    return model, rules.replace(**fields["task"])


def _print(rules: Rules, found: Sequence[Trial]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    figures = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    guessing = found[0].least_bits is not None
    for name in ("sequences", "bits per sequence", *(["at best"] if guessing else []), f"wrong {rules.unit}"):
        figures.add_column(name, justify="right")
    for trial in found:
        least = [] if trial.least_bits is None else [f"{trial.least_bits / trial.n_sequences:.4f}"]
        figures.add_row(trial.label, f"{trial.bits_per_sequence:.4f}", *least, f"{trial.wrong:.2%}")
    console = Console()
    console.print(f"{rules.name}, {found[0].n_sequences:,} sequences of each size")
    console.print(figures)
    if any(trial.by_mark for trial in found):
        console.print(f"Accuracy by {rules.mark}")
        console.print(_by_mark(found))


def _by_mark(found: Sequence[Trial]) -> "Table":
    from rich import box
    from rich.table import Table

    figures = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in (found[0].mark, *(trial.label for trial in found)):
        figures.add_column(name, justify="right")
    for mark in sorted({mark for trial in found for mark in trial.by_mark}):
        tallies = [trial.by_mark.get(mark) for trial in found]
        figures.add_row(str(mark), *("" if tally is None else f"{tally.accuracy:.1%}" for tally in tallies))
    return figures
