"""``everlong answer``: what a text says to a question, and where."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everlong.cli.output import answer as answer_json
from everlong.cli.output import write_text

if TYPE_CHECKING:
    from everlong.evaluate.answering import Answered

AROUND = 60
"""Characters that are shown on either side of an answer."""


def answer(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run that learned --task answer.")],
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Texts: one a file; or one a line of JSON; or folders.")
    ],
    question: Annotated[str, typer.Option(help="What is asked of each text.")],
    lanes: Annotated[int, typer.Option(help="Windows read side by side.", min=1)] = 8,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 leaves it to PyTorch.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Find the part of each text that answers a question. A long text is read whole."""
    import torch

    from everlong.cli.documents import named_texts
    from everlong.run import load

    if threads:
        torch.set_num_threads(threads)
    trained = load(run)
    found: list[dict[str, object]] = []
    for name, text in named_texts(files):
        told = trained.answer(text, question, name=name, lanes=lanes)
        line = None if told.begin is None else text.count("\n", 0, told.begin) + 1
        if as_json:
            found.append({"name": name, **told.to_dict(), "line": line})
        else:
            write_text(_shown(name, text, told, line))
    if as_json:
        answer_json({"run": str(run), "question": question, "texts": found})


def _shown(name: str, text: str, told: "Answered", line: int | None) -> str:
    if told.begin is None or told.end is None:
        return f"{name}\tno answer\t{told.probability:.1%}\n"
    before, after = text[max(told.begin - AROUND, 0) : told.begin], text[told.end : told.end + AROUND]
    around = f"{before}[{told.text}]{after}"
    return (
        f"{name}\t{' '.join(told.text.split())}\t{told.probability:.1%}\n"
        f"  line {line:,}, characters {told.begin:,} to {told.end:,}: {' '.join(around.split())}\n"
    )
