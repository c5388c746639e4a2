"""What ``everlong eval`` is asked to do."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from everlong.run import Run


@final
@dataclass(frozen=True, kw_only=True)
class Request:
    """A run, what to measure it on, and how; ``None`` where nothing was given."""

    run: "Run"
    data: tuple[Path, ...]
    separator: str | None
    lanes: int
    chunk: int | None
    limit: int | None
    sequences: int | None
    changes: Mapping[str, Any]
    """Fields of the model or the task that have another value now."""
    as_json: bool
