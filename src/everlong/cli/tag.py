"""``everlong tag``: the entities of texts, and where they stand."""

from pathlib import Path
from typing import Annotated

import typer

from everlong.cli.output import answer, write_text


def tag(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run that learned --task tag.")],
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Texts: one a file; or one a line of JSON; or folders.")
    ],
    lanes: Annotated[int, typer.Option(help="Sentences or windows read side by side.", min=1)] = 8,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 leaves it to PyTorch.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Find the entities of each text: a line for each, with its place in characters, its type and how it is written."""
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
            raise DataError(f"{document.name} has nothing but white space in it, where no entities are. Leave it out.")
        return text

    texts = (named(document) for document in read_documents(files))
    found: list[dict[str, object]] = []
    for number, tagged in enumerate(trained.tag(texts, lanes=lanes)):
        if as_json:
            found.append({"name": names[number], **tagged.to_dict()})
            continue
        for one in tagged.entities:
            # A name may stand across the end of a line.
            write_text(f"{names[number]}\t{one.begin}\t{one.end}\t{one.type}\t{' '.join(one.text.split())}\n")
    if as_json:
        answer({"run": str(run), "texts": found})
