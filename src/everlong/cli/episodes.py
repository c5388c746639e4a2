"""``everlong eval`` of a generated task: bits per sequence and wrong bits, by size."""

from collections.abc import Sequence

from everlong.cli.output import answer
from everlong.cli.progress import counting
from everlong.cli.request import Request
from everlong.cli.settings import assign_fields
from everlong.data.synthetic import Rules
from everlong.evaluate.episodes import Trial, evaluate_episodes
from everlong.train.folder import rules_of

SEQUENCES = 100
"""Sequences of each size, unless a number is given."""


def eval_generated(request: Request) -> None:
    """Draw new sequences, as in training and of fixed sizes, and say how well the model does them.

    Raises:
        ConfigError: a field is unknown, or does not fit the task or the model.
    """
    trained, rules = request.run, rules_of(request.run.folder)
    assert rules is not None
    sequences = SEQUENCES if request.sequences is None else request.sequences
    fields = assign_fields(request.changes, {"model": type(trained.config), "task": type(rules)})
    model, rules = trained.language_model, rules.replace(**fields["task"])
    if fields["model"]:
        model = model.with_config(**fields["model"])
    trials = (None, *rules.trials())
    with counting("sequences", sequences * len(trials)) as report:
        found = evaluate_episodes(model, rules, trials=trials, sequences=sequences, lanes=request.lanes, report=report)
    if request.as_json:
        run, name = str(trained.folder), model.architecture
        rows = [trial.to_dict() for trial in found]
        answer({"run": run, "model": name, "task": rules.name, "rules": rules.model_dump(), "trials": rows})
    else:
        _print(rules, found)


def _print(rules: Rules, found: Sequence[Trial]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    figures = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    guessing = found[0].least_bits is not None
    for name in ("sequences", "bits per sequence", *(["at best"] if guessing else []), "wrong bits"):
        figures.add_column(name, justify="right")
    for trial in found:
        least = [] if trial.least_bits is None else [f"{trial.least_bits / trial.n_sequences:.4f}"]
        figures.add_row(trial.label, f"{trial.bits_per_sequence:.4f}", *least, f"{trial.wrong_bits:.2%}")
    console = Console()
    console.print(f"{rules.name}, {found[0].n_sequences:,} sequences of each size")
    console.print(figures)
