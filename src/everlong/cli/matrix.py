"""``everlong probe`` of a matrix memory: what it was written with, and what was read from it when."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from everlong.cli.output import answer, say
from everlong.cli.probe_request import ProbeRequest
from everlong.cli.settings import assign_fields

if TYPE_CHECKING:
    from everlong.evaluate.traced import Traced

PICTURE = "probe.svg"
TOKENS = 250
"""Tokens to read of a text, unless a number is given."""


def picture_episodes(request: ProbeRequest) -> None:
    """Show how new sequences of the task that a run learned are read.

    Raises:
        ConfigError: the memory is no matrix, or a field is unknown or does not fit.
    """
    from everlong.cli.episodes import changed
    from everlong.evaluate.trace import require_matrix
    from everlong.evaluate.traced import trace_episodes
    from everlong.train.folder import rules_of

    out = _place(request)
    require_matrix(request.run.model)
    rules = rules_of(request.run.folder)
    assert rules is not None
    model, rules = changed(request.run, rules, request.changes)
    count, first = request.examples or 1, request.seed or 0
    _show(request, out, list(trace_episodes(require_matrix(model), rules, rules.largest, count=count, first=first)))


def picture_texts(request: ProbeRequest) -> None:
    """Show how text of the command line, or of files, is read.

    Raises:
        ConfigError: the memory is no matrix, or a field is unknown or does not fit.
        DataError: a text cannot be read.
    """
    from everlong.data import Document, read_documents
    from everlong.evaluate.trace import require_matrix
    from everlong.evaluate.traced import trace_texts

    out, trained = _place(request), request.run
    fields = assign_fields(request.changes, {"model": type(trained.config)})["model"]
    model = require_matrix(require_matrix(trained.model).with_config(**fields))
    documents = [Document("prompt", request.prompt)] if request.prompt else read_documents(request.data)
    count, limit = request.examples or 1, request.limit or TOKENS
    _show(request, out, list(trace_texts(model, trained.tokenizer, documents, count=count, limit=limit)))


def _place(request: ProbeRequest) -> Path | None:
    """Where the picture goes; ``None`` if figures alone are wanted."""
    from everlong.evaluate.picture_file import require_drawable

    out = request.out if request.out or request.as_json else request.run.folder / PICTURE
    if out is not None:
        require_drawable(out)
    return out


def _show(request: ProbeRequest, out: Path | None, found: "Sequence[Traced]") -> None:
    from everlong.evaluate.picture_file import write_picture
    from everlong.train.folder import training_of

    run, name = request.run.folder, request.run.model.architecture
    if out is not None:
        write_picture(out, found, f"{name}, {run}")
        say("\n".join([*(f"{traced.name}: {traced.outcome}" for traced in found if traced.outcome), f"look at {out}"]))
    if request.as_json:
        about = {"run": str(run), "model": name, "task": training_of(run).task}
        picture = None if out is None else str(out)
        answer({**about, "picture": picture, "sequences": [traced.to_dict() for traced in found]})
