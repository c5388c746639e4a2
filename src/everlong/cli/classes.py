"""``everlong eval`` of a classifier: accuracy, macro-F1 and F1 by label."""

from pathlib import Path

from everlong.cli.held_out import examples_to_measure
from everlong.cli.labelled import store_labelled
from everlong.cli.output import answer, say
from everlong.cli.progress import counting
from everlong.cli.request import Request
from everlong.cli.settings import assign_fields
from everlong.data import ExampleStore
from everlong.data.labelled import LabelledOptions, read_labelled
from everlong.evaluate.classes import ClassEvaluation, evaluate_classes
from everlong.models.classifier import Classifier
from everlong.train.folder import examples_of


def eval_labelled(request: Request) -> None:
    """Read labelled texts, or those that were held out, and say how many labels were told.

    Raises:
        ConfigError: there are no texts, or a field is unknown, does not fit, or is about texts that are stored already.
        DataError: the texts cannot be read, or have labels that were not learned.
    """
    trained = request.run
    model = trained.model
    assert isinstance(model, Classifier)
    options = LabelledOptions.parse(examples_of(trained.folder)["options"])
    fields = assign_fields(request.changes, {"model": type(trained.config), "task": LabelledOptions})
    model = model.with_config(**fields["model"]) if fields["model"] else model
    options = options.replace(**fields["task"])

    def build(folder: Path) -> ExampleStore:
        return store_labelled(read_labelled(request.data), model.labels, trained.tokenizer, options, folder)

    with examples_to_measure(request, build, what="labelled texts", otherwise=bool(fields["task"])) as store:
        with counting("texts", len(store)) as report:
            found = evaluate_classes(model, store, lanes=request.lanes, report=report)
        left_out = store.about["left_out"]
    if request.as_json:
        facts = {"run": str(trained.folder), "model": model.architecture, "left_out": left_out}
        answer({**facts, **found.to_dict()})
        return
    _print(found)
    if left_out:
        say(f"limit={options.limit} left out {left_out:,} tokens.")


def _print(found: ClassEvaluation) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    figures = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    figures.add_column("label")
    for name in ("texts", "told", "F1"):
        figures.add_column(name, justify="right")
    have, told = found.counts.sum(dim=1).tolist(), found.counts.sum(dim=0).tolist()
    for label, n, m in zip(found.labels, have, told, strict=True):
        figures.add_row(label, f"{n:,}", f"{m:,}", f"{found.f1[label]:.3f}" if label in found.f1 else "–")
    console = Console()
    console.print(figures)
    console.print(
        f"{found.accuracy:.1%} of {found.n_texts:,} labels told, macro-F1 {found.macro_f1:.4f}, "
        f"{found.bits:.4f} bits each.",
        highlight=False,
    )
