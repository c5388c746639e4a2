"""``everlong models``: what there is, what each remembers, and what that costs."""

import re
from typing import Annotated, Any

import typer

from everlong.cli.output import answer
from everlong.wording import bytes_text

NOTHING = "Nothing"


def models(
    kind: Annotated[str, typer.Option(help="Only this kind: causal, encoder or seq2seq.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """List the architectures: what each remembers, how far it sees, and bytes per session at default sizes."""
    from everlong.models import list_models

    names = list_models(kind or None)  # pyright: ignore[reportArgumentType] - a wrong kind is an error with a remedy
    rows = [describe(name) for name in names]
    if as_json:
        answer({"models": rows})
    else:
        _print_table(rows)


def describe(name: str) -> dict[str, Any]:
    """Facts of an architecture at its default sizes; no weights are made."""
    import torch

    from everlong.models import LanguageModel, Seq2Seq, create_model, describe_model

    kind, config, line = describe_model(name)
    with torch.device("meta"):
        model = create_model(name).eval()
        memory = model.init_memory(1) if isinstance(model, LanguageModel) else None
        longer = model.init_memory(1, source_slots=1) if isinstance(model, Seq2Seq) else memory
    return {
        "name": name,
        "kind": kind,
        "description": line,
        "remembers": NOTHING if memory is None else with_sizes(first_line(memory), model.config),
        "reach_tokens": model.config.reach,
        "bytes_per_session": 0 if memory is None else memory.nbytes,
        "bytes_per_source_token": 0 if memory is None or longer is None else longer.nbytes - memory.nbytes,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "defaults": {field: getattr(model.config, field) for field in config.model_fields},
    }


def first_line(thing: object) -> str:
    """What an object is, by the first sentence of its class."""
    return (type(thing).__doc__ or "").strip().splitlines()[0].rstrip(".")


def with_sizes(line: str, config: Any) -> str:
    """A line in which names of fields stand in backticks, with the values they have; nothing else keeps its backticks.

    >>> with_sizes("The last `context` tokens", TransformerConfig(context=9))
    'The last context (9) tokens'
    """

    def told(found: re.Match[str]) -> str:
        name = found[1]
        return f"{name} ({getattr(config, name)})" if name in type(config).model_fields else name

    return re.sub(r"`([^`]*)`", told, line)


def reach_text(kind: str, reach: int | None) -> str:
    """How far a model sees: back, or to both sides."""
    if kind == "encoder":
        return "the whole text" if reach is None else f"{reach:,} to each side"
    return "unbounded" if reach is None else f"{reach:,} tokens"


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("name", style="bold", no_wrap=True)
    table.add_column("kind")
    table.add_column("remembers", ratio=1)
    table.add_column("reach", justify="right")
    table.add_column("a session", justify="right", no_wrap=True)
    for row in rows:
        size, more = row["bytes_per_session"], row["bytes_per_source_token"]
        table.add_row(
            row["name"],
            row["kind"],
            row["remembers"],
            reach_text(row["kind"], row["reach_tokens"]),
            (bytes_text(size) if size else "–") + (f"\n+ {bytes_text(more)} a\nsource token" if more else ""),
        )
    console = Console()
    console.print(table)
    console.print(
        "Reach and size at default settings. everlong models --json lists the settings themselves.", style="dim"
    )
