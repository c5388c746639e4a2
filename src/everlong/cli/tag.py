"""``everlong tag``: the entities of texts, and where they stand."""

from itertools import tee
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

    from everlong.cli.documents import named_texts
    from everlong.run import load

    if threads:
        torch.set_num_threads(threads)
    trained = load(run)
    names, texts = tee(named_texts(files))
    found: list[dict[str, object]] = []
    for (name, _), tagged in zip(names, trained.tag((text for _, text in texts), lanes=lanes), strict=True):
        if as_json:
            found.append({"name": name, **tagged.to_dict()})
            continue
        for one in tagged.entities:
            # A name may stand across the end of a line.
            write_text(f"{name}\t{one.begin}\t{one.end}\t{one.type}\t{' '.join(one.text.split())}\n")
    if as_json:
        answer({"run": str(run), "texts": found})
