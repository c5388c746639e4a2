"""What ``everlong probe`` is asked to do with a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from everlong.run import Run


@final
@dataclass(frozen=True, kw_only=True)
class ProbeRequest:
    """A run, what to show of it, and how; ``None`` where nothing was given."""

    run: "Run"
    out: Path | None
    data: tuple[Path, ...]
    prompt: str | None
    examples: int | None
    limit: int | None
    seed: int | None
    sequences: int | None
    chunk: int | None
    context: int | None
    judge: Path | None
    changes: Mapping[str, Any]
    """Fields of the model or the task that have another value now."""
    as_json: bool
