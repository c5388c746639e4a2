"""``everlong probe`` of a language model on text: how far back it uses what it has read."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from everlong.cli.output import answer, say
from everlong.cli.probe_request import ProbeRequest
from everlong.cli.progress import counting
from everlong.cli.settings import assign_fields
from everlong.errors import ConfigError

if TYPE_CHECKING:
    from everlong.data import Tokenizer
    from everlong.evaluate.text_probe import TextProbe
    from everlong.models.base import AnyLanguageModel

LIMIT = 100_000
"""Tokens read altogether, unless a number is given."""
LANES = 8
CHUNK = 256


def probe_stream(request: ProbeRequest) -> None:
    """Measure what a language model makes of context, and say it.

    Raises:
        ConfigError: a field or a size does not fit, or the judge reads another language of tokens.
        DataError: the text cannot be read, or its documents are too short.
        RunError: the page cannot be written.
    """
    from everlong.data import TokenStore, read_documents
    from everlong.evaluate.text_page import write_page
    from everlong.evaluate.text_probe import probe_text
    from everlong.report.page import require_chart
    from everlong.storage import require_place

    trained = request.run
    if request.out is not None:
        require_chart(request.out)
        require_place(request.out)
    fields = assign_fields(request.changes, {"model": type(trained.config)})["model"]
    model = trained.language_model.with_config(**fields)
    judge = None if request.judge is None else _judge(request.judge, trained.tokenizer)
    with tempfile.TemporaryDirectory(prefix="everlong-") as folder:
        store = TokenStore.build(read_documents(request.data), trained.tokenizer, Path(folder) / "store")
        limit = min(request.limit or LIMIT, store.n_tokens)
        with counting("tokens", limit) as report:
            found = probe_text(
                model,
                store,
                trained.tokenizer,
                lanes=LANES,
                chunk=request.chunk or CHUNK,
                limit=limit,
                longest=request.context,
                judge=judge,
                report=report,
            )
    about = {"run": str(trained.folder), "model": model.architecture, "task": "lm"}
    if request.out is not None:
        write_page(request.out, found, f"{model.architecture}, {trained.folder}")
        say(f"look at {request.out}")
    if request.as_json:
        picture = None if request.out is None else str(request.out)
        by = None if request.judge is None else str(request.judge)
        answer({**about, "picture": picture, "judge": by, **found.to_dict()})
        return
    _print(found, by="the model itself" if request.judge is None else str(request.judge))


def _judge(folder: Path, tokenizer: "Tokenizer") -> "AnyLanguageModel":
    from everlong.run import load

    judge = load(folder)
    if judge.tokenizer.digest != tokenizer.digest:
        raise ConfigError(
            f"{folder} has another tokenizer, so its key tokens are not tokens of this run. "
            "Give a judge with the tokenizer of the run."
        )
    return judge.language_model


def _print(found: "TextProbe", *, by: str) -> None:
    from rich.console import Console

    console, evaluation, key = Console(), found.evaluation, found.key
    _table(
        f"Bits per byte of {found.n_targets:,} tokens after so many tokens alone",
        ("context", "bits per byte"),
        [("whole document" if r.context is None else f"{r.context:,}", f"{r.per_byte:.4f}") for r in found.by_context],
    )
    _table(
        "Bits per byte by position",
        ("tokens before", "own memory", f"reset every {evaluation.chunk}", "another's memory"),
        [
            (f"{p.first:,} to {p.last:,}", *(_cell(p.bits.per_byte(name)) for name in ("carried", "reset", "other")))
            for p in evaluation.by_position
        ],
    )
    _table(
        "Mean norm of the gradient of a loss by distance",
        ("tokens back", "norm"),
        [(f"{r['first']:,} to {r['last']:,}", f"{r['norm']:.3g}") for r in found.field.doublings()],
    )
    console.print("\n".join(sentences(found, by=by)), highlight=False, soft_wrap=True)
    if key.bits["other"] is None and key.n_key:
        say("There is one document, so there is no other one's memory.")


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    figures = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        figures.add_column(name, justify="right")
    for row in rows:
        figures.add_row(*row)
    console = Console()
    console.print(title)
    console.print(figures)


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def sentences(found: "TextProbe", *, by: str) -> list[str]:
    """Effective context, key tokens and receptive field in words.

    Args:
        found: what was measured.
        by: who picked the key tokens.
    """
    key, field = found.key, found.field
    lengths = [
        f"{'' if e.bounded else 'at least '}{e.length:,} tokens (hardest {e.share:.0%})" for e in found.effective
    ]
    costs = ", ".join(
        f"{bits:.3f} with {what}"
        for name, what in {"carried": "its own memory", "reset": "memory reset", "other": "another's"}.items()
        if (bits := key.bits[name]) is not None
    )
    declared = "none" if found.reach is None else f"{found.reach:,}"
    verdict = "More than is declared: config.reach is wrong." if field.exceeds(found.reach) else ""
    return [
        f"Relative effective context: {', '.join(lengths)}.",
        f"Key tokens by {by}, short context {key.short:,}: {key.n_key:,} of {key.n_tokens:,} ({key.share:.2%})"
        + (f"; bits each {costs}." if costs else "."),
        f"Gradients reach {field.farthest:,} tokens back, of {found.read_for_field:,} read, and 99 % of their norm "
        f"lies within {field.within(0.99):,}; declared bound: {declared}. {verdict}".rstrip(),
    ]
