"""Figures of documents in parts, for people."""

from everlong.evaluate.parts import PartEvaluation


def print_parts(name: str, found: PartEvaluation) -> None:
    """A table of what parts cost by their number, and what memory was worth, in a sentence.

    Args:
        name: what a part is: turn, session or chapter.
        found: what was measured.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    columns = {"carried": "own", "reset": "reset", "other": "other"}
    figures = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in (name, "n", "bytes", *columns.values(), *columns.values()):
        figures.add_column(column, justify="right")
    rows = [
        (f"{p.first:,}" + (f" to {p.last:,}" if p.last > p.first else ""), p.n_parts, p.bits) for p in found.by_part
    ]
    for title, n, bits in [*rows, ("all", sum(part.n_parts for part in found.by_part), found.total)]:
        costs = [*(bits.perplexity(reading) for reading in columns), *(bits.per_byte(reading) for reading in columns)]
        cells = ["–" if cost is None else f"{cost:.3f}" for cost in costs]
        figures.add_row(title, f"{n:,}", f"{bits.n_bytes:,}", *cells, style="bold" if title == "all" else None)
    console = Console()
    about = f"Perplexity of a token, then bits per byte: own memory, reset at each {name}, another document's"
    console.print(about, soft_wrap=True)
    console.print(figures)
    console.print(gain_sentence(name, found), highlight=False, soft_wrap=True)


def gain_sentence(name: str, found: PartEvaluation) -> str:
    """What memory was worth."""
    error = "" if found.gain_error is None else f" ± {found.gain_error:.4f}"
    n = len(found.by_document)
    return (
        f"The memory of earlier {name}s saves {found.gain:.4f}{error} bits per byte over {n:,} "
        f"document{'s' if n != 1 else ''} and costs {found.memory_bytes:,} bytes a session."
    )
