"""Where text goes: people read standard error, programs read standard output."""

import json
import sys
import unicodedata
from collections.abc import Mapping
from typing import Any

import typer


def say(text: str) -> None:
    """A line for people, on standard error."""
    typer.echo(text, err=True)


def answer(value: Mapping[str, Any]) -> None:
    """A JSON object as one line of standard output."""
    typer.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))


def write_text(text: str) -> None:
    """Text of a model, on standard output at once. A terminal is spared control characters, which could steer it."""
    if sys.stdout.isatty():
        text = "".join(c if c in "\n\t" or unicodedata.category(c) != "Cc" else "\ufffd" for c in text)
    sys.stdout.write(text)
    sys.stdout.flush()


def bytes_text(count: int) -> str:
    """A number of bytes in the largest unit that leaves at least 1.

    >>> bytes_text(1_536)
    '1.5 KiB'
    """
    size, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{count} B" if unit == "B" else f"{size:,.1f} {unit}"


def duration_text(seconds: float) -> str:
    """A duration in hours, minutes and seconds.

    >>> duration_text(3_725)
    '1:02:05'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
