"""``everlong classify``: the label of each text, and what was attended to."""

from itertools import tee
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

    from everlong.cli.documents import named_texts
    from everlong.run import load

    if threads:
        torch.set_num_threads(threads)
    trained = load(run)
    names, texts = tee(named_texts(files))
    classified = trained.classify((text for _, text in texts), lanes=lanes, explain=explain)
    found: list[dict[str, object]] = []
    for (name, _), told in zip(names, classified, strict=True):
        if as_json:
            found.append({"name": name, **told.to_dict()})
        else:
            _print(name, told)
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
