"""``everlong eval`` of a tagger: precision, recall and F1 of entities, all together and by type."""

from pathlib import Path

from everlong.cli.held_out import examples_to_measure
from everlong.cli.output import answer
from everlong.cli.progress import counting
from everlong.cli.request import Request
from everlong.cli.settings import assign_fields
from everlong.cli.tagged import store_tagged
from everlong.data import ExampleStore
from everlong.data.tagged import TagOptions, read_tagged
from everlong.evaluate.entities import Count, EntityEvaluation, evaluate_entities
from everlong.evaluate.tagging import TagReading
from everlong.models.tagger import Tagger
from everlong.train.folder import examples_of


def eval_tagged(request: Request) -> None:
    """Read tagged texts, or those that were held out, and say how many entities were found.

    Raises:
        ConfigError: there are no texts, or a field is unknown, does not fit, or is about texts that are stored already.
        DataError: the texts cannot be read, or have entities of types that were not learned.
    """
    trained = request.run
    model = trained.model
    assert isinstance(model, Tagger)
    learned = TagReading.of(trained.tokenizer, examples_of(trained.folder))
    fields = assign_fields(request.changes, {"model": type(trained.config), "task": TagOptions})
    model = model.with_config(**fields["model"]) if fields["model"] else model
    options = learned.options.replace(**fields["task"])

    def build(folder: Path) -> ExampleStore:
        return store_tagged(read_tagged(request.data, options), model.types, learned.spelling, options, folder)

    with (
        examples_to_measure(request, build, what="tagged texts", otherwise=bool(fields["task"])) as store,
        counting("windows", len(store)) as report,
    ):
        found = evaluate_entities(model, store, lanes=request.lanes, report=report)
    if request.as_json:
        answer({"run": str(trained.folder), "model": model.architecture, **found.to_dict()})
        return
    _print(found)


def _print(found: EntityEvaluation) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    figures = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    figures.add_column("type")
    for name in ("there", "told", "precision", "recall", "F1"):
        figures.add_column(name, justify="right")
    for kind, count in found.by_type.items():
        figures.add_row(kind, f"{count.have:,}", f"{count.told:,}", *_figures(count))
    console = Console()
    console.print(figures)
    precision, recall, f1 = _figures(found.all)
    console.print(
        f"entity F1 {f1}, precision {precision}, recall {recall}, over {found.n_texts:,} texts with "
        f"{found.n_words:,} words and {found.all.have:,} entities.",
        highlight=False,
    )


def _figures(count: Count) -> tuple[str, str, str]:
    return f"{count.precision:.4f}", f"{count.recall:.4f}", f"{count.f1:.4f}"
