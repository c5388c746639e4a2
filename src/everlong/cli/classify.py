"""``everlong classify``: the label of each text, and what was attended to."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everlong.cli.output import answer, say, write_text

if TYPE_CHECKING:
    from everlong.evaluate.telling import Told

SENTENCES, WORDS = 3, 8
"""How many of those that counted most are shown."""


def classify(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run that learned --task classify.")],
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Texts: one a file; or one a line of JSON; or folders.")
    ],
    explain: Annotated[
        bool, typer.Option("--explain", help="Show the sentences and words that a han attended to.")
    ] = False,
    lanes: Annotated[int, typer.Option(help="Texts read side by side.", min=1)] = 8,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 leaves it to PyTorch.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Say which label each text has, and how likely that is."""
    import torch

    from everlong.data import Document, read_documents
    from everlong.errors import DataError
    from everlong.run import load

    if threads:
        torch.set_num_threads(threads)
    trained = load(run)
    names: list[str] = []

    def named(document: Document) -> str:
        names.append(document.name)
        if not (text := document.text).strip():
            raise DataError(f"{document.name} has nothing but white space in it. Leave it out.")
        return text

    texts = (named(document) for document in read_documents(files))
    found: list[dict[str, object]] = []
    for number, told in enumerate(trained.classify(texts, lanes=lanes, explain=explain)):
        if as_json:
            found.append({"name": names[number], **told.to_dict()})
        else:
            _print(names[number], told)
    if as_json:
        answer({"run": str(run), "texts": found})


def _print(name: str, told: "Told") -> None:
    write_text(f"{name}\t{told.label}\t{told.probability:.1%}\n")
    if told.left_out:
        say(f"{name}: the last {told.left_out:,} tokens were left out")
    for sentence in sorted(told.sentences or (), key=lambda one: -one.weight)[:SENTENCES]:
        write_text(f"  {sentence.weight:6.1%}  {' '.join(sentence.text.split())}\n")
        words = sorted(sentence.words, key=lambda one: -one.weight)[:WORDS]
        write_text(f"          {', '.join(f'{word.text} {word.weight:.0%}' for word in words)}\n")
