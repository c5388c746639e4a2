"""Pages that are one file, ask for nothing and suit light and dark: a shell, and templates that fill it."""

import importlib.util
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from everlong.errors import ConfigError

FORMATS = (".svg", ".html")
"""How names end of what can be drawn: charts alone, or a page."""


def require_jinja() -> None:
    """Make sure that a page can be made, before anything else is.

    Raises:
        ConfigError: jinja2 is not installed.
    """
    if importlib.util.find_spec("jinja2") is None:
        raise ConfigError('the report needs jinja2, which is not installed. Run pip install "everlong[report]".')


def require_chart(path: Path) -> None:
    """Make sure that a page, or a picture of its charts, can be made, before anything else is.

    Raises:
        ConfigError: there is no such format, or jinja2 is not installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"{path} is no chart that can be drawn. Give a name that ends in {' or '.join(FORMATS)}.")
    if path.suffix.lower() == ".html":
        require_jinja()


def render(room: str, template: str, content: Mapping[str, Any]) -> bytes:
    """The page that a template of a room, which extends ``page``, makes of some content."""
    from jinja2 import DictLoader, Environment, StrictUndefined

    shell = files("everlong.report").joinpath("page.html.jinja").read_text(encoding="utf-8")
    own = files(room).joinpath(template).read_text(encoding="utf-8")
    environment = Environment(
        loader=DictLoader({"page": shell, "own": own}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("own").render(content).encode()
