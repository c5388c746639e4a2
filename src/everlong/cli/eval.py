"""``everlong eval``: bits per byte, and how much of it is owed to memory; or how well another task is done."""

from pathlib import Path
from typing import Annotated

import typer

from everlong.cli.settings import parse_assignments
from everlong.errors import ConfigError


def eval_(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run.")],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH...",
            help="Text files, JSON lines or folders; or stories, or drawings other than those held out, as for "
            "training.",
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="What the run learned, which it knows itself; or story, for a run that learned lm: books, chapter by "
            "chapter, and stories from where chapters begin."
        ),
    ] = None,
    document_separator: Annotated[
        str | None, typer.Option(metavar="LINE", help="A line that parts documents within a file.")
    ] = None,
    lanes: Annotated[int, typer.Option(help="Documents, an encoder's windows or stories, read side by side.")] = 8,
    chunk: Annotated[
        int | None,
        typer.Option(
            help="Tokens in one call, after which the reset reading forgets; 256 unless given. An encoder sees no "
            "others, and has as many as in training."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Tokens to read altogether; all, unless given.")] = None,
    sequences: Annotated[
        int | None, typer.Option(help="Sequences of each size, for a generated task; 100 unless given.")
    ] = None,
    assign: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Another value of a field of the model or the task, e.g. mem_len=1024.",
        ),
    ] = None,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 leaves it to PyTorch.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Measure bits per byte with memory carried, with memory reset every chunk, and with another document's memory.

    An encoder is measured by the hidden tokens that it guesses; what is hidden is the same each time. A run of a
    generated task needs no --data: it is measured by the bits that new sequences of several sizes cost it. Nor does a
    run of stories: without --data, the questions that were held out are asked.
    """
    changes = parse_assignments(assign or [])

    import torch

    from everlong.cli.evaluators import EVALUATORS, OTHERWISE
    from everlong.cli.request import Request
    from everlong.run import load
    from everlong.train.folder import training_of

    if threads:
        torch.set_num_threads(threads)
    trained, learned = load(run), training_of(run).task
    if task not in (None, learned) and (learned, task) not in OTHERWISE:
        raise ConfigError(f"{run} learned task={learned}, not {task}. Leave out --task.")
    given = {
        "--data": bool(data),
        "--document-separator": document_separator is not None,
        "--chunk": chunk is not None,
        "--limit": limit is not None,
        "--sequences": sequences is not None,
    }
    measured = OTHERWISE.get((learned, task or learned), EVALUATORS[learned])
    unused = [name for name, asked in given.items() if asked and name not in measured.takes]
    if unused:
        asked = f"{run} learned task={learned}, which has" if task in (None, learned) else f"task={task} has"
        raise ConfigError(f"{asked} no use for {', '.join(unused)}: {measured.why}. Leave that out.")
    request = Request(
        run=trained,
        data=tuple(data or ()),
        separator=document_separator,
        lanes=lanes,
        chunk=chunk,
        limit=limit,
        sequences=sequences,
        changes=changes,
        as_json=as_json,
    )
    measured.measure(request)
