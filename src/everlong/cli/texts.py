"""``everlong eval`` of text: bits per byte and how much is owed to memory, or hidden tokens guessed."""

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path

from everlong.cli.output import answer, say, write_text
from everlong.cli.progress import counting
from everlong.cli.request import Request
from everlong.cli.settings import assign_fields
from everlong.data import TokenStore, read_documents
from everlong.errors import ConfigError
from everlong.evaluate import Evaluation, HiddenEvaluation, evaluate, evaluate_hidden
from everlong.models import Encoder
from everlong.run import Run
from everlong.train.folder import training_of
from everlong.train.text_tasks import make_masking


def eval_text(request: Request) -> None:
    """Read the text and say what it costs.

    Raises:
        ConfigError: there is no text, or a field is unknown or does not fit.
        DataError: the text cannot be read, or holds nothing to measure.
    """
    trained, limit = request.run, request.limit
    if not request.data:
        raise ConfigError("no text is given to measure. Write --data and the names of files or folders.")
    fields = assign_fields(request.changes, {"model": type(trained.config)})["model"]
    if fields:
        trained = dataclasses.replace(trained, model=trained.model.with_config(**fields))
    documents = read_documents(request.data, separator=request.separator)
    with tempfile.TemporaryDirectory(prefix="everlong-") as folder:
        store = TokenStore.build(documents, trained.tokenizer, Path(folder) / "store")
        total = min(limit or store.n_tokens, store.n_tokens)
        with counting("tokens", total) as report:
            found = measure(trained, store, lanes=request.lanes, chunk=request.chunk, limit=limit, report=report)
    if not trained.tokenizer.exact:
        say(f"{trained.tokenizer.name} writes this text its own way, and bytes are counted as it does.")
    if request.as_json:
        answer({"run": str(trained.folder), "model": trained.model.architecture, **found.to_dict()})
    elif isinstance(found, Evaluation):
        _print(found)
    else:
        write_text(hidden_conclusion(found) + "\n")


def measure(
    trained: Run,
    store: TokenStore,
    *,
    lanes: int,
    chunk: int | None,
    limit: int | None,
    report: Callable[[int], None],
) -> Evaluation | HiddenEvaluation:
    """What a text says about a model: a language model's bits with and without memory, or an encoder's guesses."""
    if not isinstance(trained.model, Encoder):
        return evaluate(
            trained.language_model,
            store,
            trained.tokenizer,
            lanes=lanes,
            chunk=256 if chunk is None else chunk,
            limit_tokens=limit,
            report=report,
        )
    training = training_of(trained.folder)
    return evaluate_hidden(
        trained.model,
        store,
        trained.tokenizer,
        make_masking(trained.model, training, trained.tokenizer),
        lanes=lanes,
        chunk=training.chunk if chunk is None else chunk,
        limit_tokens=limit,
        report=report,
    )


def _print(found: Evaluation) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console()
    figures = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("tokens before", "bytes", "own memory", f"reset every {found.chunk}", "another's memory"):
        figures.add_column(name, justify="right")
    rows = [(f"{p.first:,} to {p.last:,}", p.bits) for p in found.by_position]
    for name, bits in [*rows, ("all", found.total)]:
        cells = [bits.per_byte(reading) for reading in ("carried", "reset", "other")]
        figures.add_row(
            name,
            f"{bits.n_bytes:,}",
            *("–" if cell is None else f"{cell:.4f}" for cell in cells),
            style="bold" if name == "all" else None,
        )
    console.print("Bits per byte")
    console.print(figures)
    console.print(conclusion(found), highlight=False)
    if found.bits_per_byte_other is None:
        say("There is one document, so there is no other one's memory. --document-separator parts a file.")


def hidden_conclusion(found: HiddenEvaluation) -> str:
    """How many hidden tokens were guessed, in a sentence."""
    return (
        f"{found.accuracy:.1%} of {found.n_hidden:,} hidden tokens guessed, {found.loss:.4f} nats each, "
        f"{found.bits_per_byte:.4f} bits per byte, in windows of {found.chunk:,} tokens."
    )


def conclusion(found: Evaluation) -> str:
    """What memory was worth, in a sentence."""
    error = "" if found.gain_error is None else f" ± {found.gain_error:.4f}"
    n = len(found.by_document)
    return (
        f"Memory saves {found.gain:.4f}{error} bits per byte over {n:,} document{'s' if n != 1 else ''} "
        f"and costs {found.memory_bytes:,} bytes a session."
    )
