"""``everlong eval``: bits per byte, and how much of it is owed to memory; or how well another task is done."""

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everlong.cli.output import answer, say, write_text
from everlong.cli.progress import counting
from everlong.cli.settings import assign_fields, parse_assignments
from everlong.errors import ConfigError

if TYPE_CHECKING:
    from everlong.data import TokenStore
    from everlong.evaluate import Evaluation, HiddenEvaluation
    from everlong.run import Run


def eval_(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run.")],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH...",
            help="Text files, JSON lines or folders; for omniglot, drawings other than those held out.",
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="What the run learned, which it knows itself; another one is refused.")
    ] = None,
    document_separator: Annotated[
        str | None, typer.Option(metavar="LINE", help="A line that parts documents within a file.")
    ] = None,
    lanes: Annotated[int, typer.Option(help="Documents, or an encoder's windows, read side by side.")] = 8,
    chunk: Annotated[
        int | None,
        typer.Option(
            help="Tokens in one call, after which the reset reading forgets; 256 unless given. An encoder sees no "
            "others, and has as many as in training."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Tokens to read altogether; all, unless given.")] = None,
    sequences: Annotated[int, typer.Option(help="Sequences of each size, for a generated task.")] = 100,
    assign: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Another value of a field of the model or the task, e.g. mem_len=1024.",
        ),
    ] = None,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 leaves it to PyTorch.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Measure bits per byte with memory carried, with memory reset every chunk, and with another document's memory.

    An encoder is measured by the hidden tokens that it guesses; what is hidden is the same each time. A run of a
    generated task needs no --data: it is measured by the bits that new sequences of several sizes cost it, and by the
    answers that are wrong.
    """
    changes = parse_assignments(assign or [])

    import torch

    from everlong.cli.episodes import eval_generated
    from everlong.data import TokenStore, read_documents
    from everlong.data.synthetic import Omniglot
    from everlong.evaluate import Evaluation
    from everlong.run import load
    from everlong.train.folder import rules_of, training_of

    if threads:
        torch.set_num_threads(threads)
    trained = load(run)
    learned, rules = training_of(run).task, rules_of(run)
    if task not in (None, learned):
        raise ConfigError(f"{run} learned task={learned}, not {task}. Leave out --task.")
    if rules is not None:
        if data and not isinstance(rules, Omniglot):
            raise ConfigError(f"{run} learned task={learned}, which is generated and reads no text. Leave out --data.")
        eval_generated(trained, rules, changes, data=data or (), sequences=sequences, lanes=lanes, as_json=as_json)
        return
    if not data:
        raise ConfigError("no text is given. Write --data and the names of files or folders.")
    fields = assign_fields(changes, {"model": type(trained.config)})["model"]
    if fields:
        trained = dataclasses.replace(trained, model=trained.model.with_config(**fields))
    documents = read_documents(data, separator=document_separator)
    with tempfile.TemporaryDirectory(prefix="everlong-") as folder:
        store = TokenStore.build(documents, trained.tokenizer, Path(folder) / "store")
        total = min(limit or store.n_tokens, store.n_tokens)
        with counting("tokens", total) as report:
            found = measure(trained, store, lanes=lanes, chunk=chunk, limit=limit, report=report)
    if as_json:
        answer({"run": str(run), "model": trained.model.architecture, **found.to_dict()})
    elif isinstance(found, Evaluation):
        _print(found)
    else:
        write_text(hidden_conclusion(found) + "\n")


def measure(
    trained: "Run",
    store: "TokenStore",
    *,
    lanes: int,
    chunk: int | None,
    limit: int | None,
    report: Callable[[int], None],
) -> "Evaluation | HiddenEvaluation":
    """What a text says about a model: a language model's bits with and without memory, or an encoder's guesses."""
    from everlong.evaluate import evaluate, evaluate_hidden
    from everlong.models import Encoder
    from everlong.train.folder import training_of
    from everlong.train.tasks import make_masking

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


def _print(found: "Evaluation") -> None:
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


def hidden_conclusion(found: "HiddenEvaluation") -> str:
    """How many hidden tokens were guessed, in a sentence."""
    return (
        f"{found.accuracy:.1%} of {found.n_hidden:,} hidden tokens guessed, {found.loss:.4f} nats each, "
        f"{found.bits_per_byte:.4f} bits per byte, in windows of {found.chunk:,} tokens."
    )


def conclusion(found: "Evaluation") -> str:
    """What memory was worth, in a sentence."""
    error = "" if found.gain_error is None else f" ± {found.gain_error:.4f}"
    n = len(found.by_document)
    return (
        f"Memory saves {found.gain:.4f}{error} bits per byte over {n:,} document{'s' if n != 1 else ''} "
        f"and costs {found.memory_bytes:,} bytes a session."
    )
