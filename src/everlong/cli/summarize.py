"""``everlong summarize``: documents, whole, by a run that learned to."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from everlong.cli.output import answer, say, write_text


def summarize(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run that learned --task summarize.")],
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Documents: one a file; or JSON lines with a document, and a query, each; or folders.",
        ),
    ],
    beams: Annotated[int, typer.Option(help="Hypotheses kept in each step; 1 takes the likeliest token.")] = 4,
    length_penalty: Annotated[float, typer.Option(help="More favours longer summaries; 0 for none.")] = 0.6,
    no_repeat: Annotated[int, typer.Option(help="Tokens in a row that may not come twice; 0 lets all.")] = 0,
    max_new_tokens: Annotated[
        int | None, typer.Option(help="Tokens of a summary at most; those of the longest learned one unless given.")
    ] = None,
    lanes: Annotated[int, typer.Option(help="Documents read side by side.")] = 4,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 leaves it to PyTorch.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="All summaries inside one JSON object.")] = False,
) -> None:
    """Write a summary, one line, of each document, which is read whole unless the run learned with a limit."""
    import torch

    from everlong.data.summaries import read_unsummarized
    from everlong.run import load

    if threads:
        torch.set_num_threads(threads)
    trained = load(run)
    names: list[str] = []
    texts: list[str] = []
    for name, text in read_unsummarized(files):
        names.append(name)
        texts.append(text)
    found = trained.summarize(
        texts,
        beams=beams,
        length_penalty=length_penalty,
        no_repeat=no_repeat,
        max_new_tokens=max_new_tokens,
        lanes=lanes,
    )
    rows: list[dict[str, Any]] = []
    for name, one in zip(names, found, strict=True):
        rows.append({"name": name, **asdict(one)})
        if one.left_out:
            say(f"{name}: the last {one.left_out:,} tokens were left out")
        if not as_json:
            write_text(one.text + "\n")
    if unended := sum(not row["ended"] for row in rows):
        say(f"{unended:,} summaries were ended by their length, not by the model.")
    if as_json:
        answer({"run": str(run), "summaries": rows})
