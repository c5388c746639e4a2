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
