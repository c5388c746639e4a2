"""``everlong probe`` of a generated task of tokens: how much of what was shown is remembered, and for how long."""

from typing import TYPE_CHECKING, Any

from everlong.cli.output import answer, say
from everlong.cli.probe_request import ProbeRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from everlong.data.synthetic import TokenRules
    from everlong.evaluate.recall import Recall
    from everlong.models.base import AnyLanguageModel

SEQUENCES = 100
"""Sequences of each size, unless a number is given."""
LANES = 16
"""Sequences side by side."""


def probe_recall(request: ProbeRequest) -> None:
    """Measure a run of a task of tokens at the sizes of its trials, under the three readings.

    Raises:
        ConfigError: a field is unknown or does not fit, or the picture has no such format.
        RunError: the picture cannot be written.
    """
    from rich.console import Console

    from everlong.cli.episodes import changed
    from everlong.cli.recall_table import Column, recall_table, show
    from everlong.data.synthetic import TokenRules
    from everlong.evaluate.bits import READINGS
    from everlong.evaluate.recall_picture import write_recall
    from everlong.report.page import require_chart
    from everlong.storage import require_place
    from everlong.train.folder import rules_of

    if request.out is not None:
        require_chart(request.out)
        require_place(request.out)
    learned = rules_of(request.run.folder)
    assert learned is not None
    model, rules = changed(request.run, learned, request.changes)
    assert isinstance(rules, TokenRules)
    found = measured(model, rules, sequences=request.sequences, chunk=request.chunk)
    if request.out is not None:
        write_recall(request.out, found, heading=f"{model.architecture}, {rules.name}", about=held(facts(model)))
        say(f"look at {request.out}")
    if request.as_json:
        told = [one.to_dict() for one in found]
        answer({"run": str(request.run.folder), **facts(model), **about_task(rules), "trials": told})
        return
    console = Console()
    console.print(
        f"{rules.name}, {found[0].n_sequences:,} sequences of each size; {model.architecture}: {held(facts(model))}"
    )
    columns = [Column(name=reading, found=[found], reading=reading) for reading in READINGS]
    show(recall_table(columns, across=False))
    if found[0].across_by_mark is not None:
        console.print("Answers across a cut")
        show(recall_table(columns, across=True))
    console.print(cuts(found), style="dim")


def measured(
    model: "AnyLanguageModel", rules: "TokenRules", *, sequences: int | None, chunk: int | None
) -> "tuple[Recall, ...]":
    """What a model answers at the sizes of all trials.

    Raises:
        ConfigError: a number is too small, or the model does not fit the task.
    """
    from everlong.cli.progress import counting
    from everlong.evaluate.recall import evaluate_recall

    trials, count = rules.trials(), SEQUENCES if sequences is None else sequences
    with counting("sequences", count * len(trials)) as report:
        return evaluate_recall(
            model, rules, trials=trials, sequences=count, lanes=LANES, chunk=chunk, report=report
        )  # fmt: skip


def facts(model: "AnyLanguageModel") -> dict[str, Any]:
    """What a model is, how far it sees, and how many bytes a session keeps."""
    return {
        "model": model.architecture,
        "reach_tokens": model.config.reach,
        "bytes_per_session": model.init_memory(1).nbytes,
    }


def about_task(rules: "TokenRules") -> dict[str, Any]:
    """The task, as JSON values."""
    return {"task": rules.name, "rules": rules.model_dump(mode="json")}


def held(about: "Mapping[str, Any]") -> str:
    """Bytes and reach of a model's `facts`, in words."""
    from everlong.cli.models import reach_text
    from everlong.wording import bytes_text

    reach = reach_text("causal", about["reach_tokens"])
    return f"{bytes_text(about['bytes_per_session'])} of memory a session, reach {reach}"


def cuts(found: "Sequence[Recall]") -> str:
    """Where sequences were cut, and what the columns mean, in words."""
    chunks = ", ".join(f"{n:,}" for n in dict.fromkeys(one.chunk for one in found))
    which = (
        "All answers count, also those that depend on what stands in their own chunk."
        if found[0].across_by_mark is None
        else "An answer is across a cut if what it depends on stands before it."
    )
    return (
        f"Sequences are cut every {chunks} tokens. What is carried over a cut is the memory of the sequence itself, "
        f"nothing (reset), or the memory of another sequence (other). {which}"
    )
