"""``everlong probe``: what a memory was written with, and what was read from it when."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from everlong.cli.output import answer, say
from everlong.cli.settings import assign_fields, parse_assignments
from everlong.errors import ConfigError

if TYPE_CHECKING:
    from everlong.data.synthetic import Rules
    from everlong.evaluate.traced import Traced
    from everlong.run import Run

PICTURE = "probe.svg"


def probe(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run.")],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The picture: .svg, .png or .html; DIR/probe.svg unless this or --json is given."
        ),
    ] = None,
    examples: Annotated[int, typer.Option(min=1, help="Sequences or documents, one below another.")] = 1,
    prompt: Annotated[str | None, typer.Option(help="Text to read, for a run that learned from text.")] = None,
    data: Annotated[
        list[Path] | None, typer.Option(metavar="PATH...", help="The same from text files, JSON lines or folders.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Tokens to read of each text.")] = 250,
    seed: Annotated[
        int, typer.Option(min=0, help="Number of the first sequence of a generated task; eval measures from 0 on.")
    ] = 0,
    assign: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Another value of a field of the model or the task, e.g. task.max_length=40.",
        ),
    ] = None,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 leaves it to PyTorch.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Show where a matrix memory (ntm, dnc, mann) was written, and where it was read when.

    A run of a generated task reads new sequences of the largest size it was trained on, or that --set gives; a run of
    text reads what is given. --json tells of each head and step the slot with the largest weight, that weight and how
    sharp the head was (1 on one slot, 1/n on n evenly). Where the task is to copy, an answer is addressed right if a
    head that reads has more than half of its weight on a slot on which a head that writes had when it was shown.
    """
    changes = parse_assignments(assign or [])

    import torch

    from everlong.evaluate.picture_file import require_drawable, write_picture
    from everlong.evaluate.trace import require_matrix
    from everlong.run import load
    from everlong.train.folder import rules_of, training_of

    if out is None and not as_json:
        out = run / PICTURE
    if out is not None:
        require_drawable(out)
    if threads:
        torch.set_num_threads(threads)
    trained = load(run)
    require_matrix(trained.model)
    rules = rules_of(run)
    if rules is None:
        found = trace_given(trained, changes, prompt=prompt, data=data or [], count=examples, limit=limit)
    elif prompt is not None or data:
        raise ConfigError(
            f"{run} learned task={rules.name}, which is generated and reads no text. Leave out --prompt and --data."
        )
    else:
        found = trace_generated(trained, rules, changes, count=examples, first=seed)
    if out is not None:
        write_picture(out, found, f"{trained.model.architecture}, {run}")
        say("\n".join([*(f"{traced.name}: {traced.outcome}" for traced in found if traced.outcome), f"look at {out}"]))
    if as_json:
        about = {"run": str(run), "model": trained.model.architecture, "task": training_of(run).task}
        picture = None if out is None else str(out)
        answer({**about, "picture": picture, "sequences": [traced.to_dict() for traced in found]})


def trace_generated(
    trained: "Run", rules: "Rules", changes: Mapping[str, Any], *, count: int, first: int
) -> "list[Traced]":
    """New sequences of the task that a run learned."""
    from everlong.cli.episodes import changed
    from everlong.evaluate.trace import require_matrix
    from everlong.evaluate.traced import trace_episodes

    model, rules = changed(trained, rules, changes)
    return list(trace_episodes(require_matrix(model), rules, rules.largest, count=count, first=first))


def trace_given(
    trained: "Run",
    changes: Mapping[str, Any],
    *,
    prompt: str | None,
    data: Sequence[Path],
    count: int,
    limit: int,
) -> "list[Traced]":
    """Text of the command line or of files, for a run that learned from text.

    Raises:
        ConfigError: no text is given, or two.
    """
    from everlong.data import Document, read_documents
    from everlong.evaluate.trace import require_matrix
    from everlong.evaluate.traced import trace_texts

    if bool(prompt) == bool(data):
        raise ConfigError(
            "give the run, which learned from text, one text to read: --prompt and words, or --data and names of files."
        )
    fields = assign_fields(changes, {"model": type(trained.config)})["model"]
    model = require_matrix(trained.model.with_config(**fields))
    documents = [Document("prompt", prompt)] if prompt else read_documents(data)
    return list(trace_texts(model, trained.tokenizer, documents, count=count, limit=limit))
