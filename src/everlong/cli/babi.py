"""``babi`` on the command line: stories made into examples, and ``everlong eval`` of what answers their questions."""

import tempfile
from pathlib import Path

from everlong.cli.corpus import Source
from everlong.cli.output import answer, say
from everlong.cli.progress import counting
from everlong.cli.request import Request
from everlong.cli.settings import Fields, assign_fields
from everlong.data import ExampleStore, Tokenizer
from everlong.data.babi import build_babi, build_measured
from everlong.data.babi_files import BabiOptions
from everlong.data.words import WordTokenizer
from everlong.errors import ConfigError
from everlong.evaluate.babi import StoryAnswers, evaluate_stories
from everlong.run import Run
from everlong.train.folder import EXAMPLES, HELD_OUT_EXAMPLES, data_of


def build_stories(source: Source, options: BabiOptions, train: Path, held_out: Path) -> Tokenizer:
    """Make the examples of a run."""
    return build_babi(source.data, source.valid, options, train=train, held_out=held_out)


def eval_stories(request: Request) -> None:
    """Ask the questions of some stories, or of those that were held out, and say how many are answered.

    Raises:
        ConfigError: a field is unknown or does not fit, or there is nothing to measure.
        DataError: stories cannot be read.
    """
    model = request.run.language_model
    fields = assign_fields(request.changes, {"model": type(model.config), "task": BabiOptions})
    if fields["model"]:
        model = model.with_config(**fields["model"])
    with tempfile.TemporaryDirectory(prefix="everlong-") as folder:
        store = _stories(request, fields["task"], Path(folder) / EXAMPLES)
        with counting("stories", len(store)) as report:
            found = evaluate_stories(model, store, lanes=request.lanes, report=report)
    unknown = store.about["n_unknown"]
    if request.as_json:
        name = {"run": str(request.run.folder), "model": model.architecture, "task": "babi"}
        answer({**name, **store.about.get("hidden", {}), **found.to_dict(), "n_unknown_words": unknown})
        return
    _print(found)
    if unknown:
        say(f"{unknown:,} words that no story of the training data has were read as one unknown word.")


def _stories(request: Request, choice: Fields, folder: Path) -> ExampleStore:
    if request.data:
        about = data_of(request.run.folder)["about"]
        learned = {"tasks": tuple(int(task) for task in about["tasks"]), **about.get("hidden", {})}
        return build_measured(request.data, BabiOptions.parse({**learned, **choice}), _words(request.run), folder)
    if choice:
        raise ConfigError(f"{', '.join(choice)} says which stories of --data to measure. Write --data, too.")
    kept = request.run.folder / HELD_OUT_EXAMPLES
    if not kept.exists():
        raise ConfigError(f"{request.run.folder} holds no stories to measure. Write --data and the name of some.")
    return ExampleStore.open(kept)


def _words(run: Run) -> WordTokenizer:
    assert isinstance(run.tokenizer, WordTokenizer)
    return run.tokenizer


def _print(found: StoryAnswers) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    figures = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    figures.add_column("task")
    for name in ("questions", "error", ""):
        figures.add_column(name, justify="right")
    for task in found.tasks:
        failed = "failed" if task.failed else ""
        figures.add_row(f"{task.task} {task.title}".strip(), f"{task.n_questions:,}", f"{task.error:.2%}", failed)
    console = Console()
    console.print(figures)
    console.print(
        f"Mean error {found.mean_error:.2%}, {found.n_failed} of {len(found.tasks)} tasks failed (error over 5 %), "
        f"{found.bits_per_answer:.4f} bits per answer.",
        highlight=False,
    )
