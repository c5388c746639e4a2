"""``everlong probe``: what a memory is worth, shown as fits what the run learned."""

from pathlib import Path
from typing import Annotated

import typer

from everlong.cli.settings import parse_assignments
from everlong.errors import ConfigError


def probe(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run.")],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The picture: .svg, .png or .html; DIR/probe.svg unless this or --json is given."
        ),
    ] = None,
    examples: Annotated[
        int | None, typer.Option(min=1, help="Sequences or documents, one below another; 1 unless given.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="Text to read, for a run that learned from text.")] = None,
    data: Annotated[
        list[Path] | None, typer.Option(metavar="PATH...", help="The same from text files, JSON lines or folders.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Tokens to read of each text; 250 unless given.")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Number of the first sequence of a generated task; eval measures from 0.")
    ] = None,
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

    from everlong.cli.probe_request import ProbeRequest
    from everlong.cli.probes import probe_of
    from everlong.run import load
    from everlong.train.folder import rules_of, training_of

    if threads:
        torch.set_num_threads(threads)
    trained, rules = load(run), rules_of(run)
    if rules is None and bool(prompt) == bool(data):
        raise ConfigError(
            "give the run, which learned from text, one text to read: --prompt and words, or --data and names of files."
        )
    given = {
        "--prompt": prompt is not None,
        "--data": bool(data),
        "--examples": examples is not None,
        "--limit": limit is not None,
        "--seed": seed is not None,
    }
    chosen = probe_of(rules, prompt=bool(prompt))
    if unused := [name for name, asked in given.items() if asked and name not in chosen.takes]:
        raise ConfigError(
            f"{run} learned task={training_of(run).task}, whose probe has no use for {', '.join(unused)}: "
            f"{chosen.why}. Leave that out."
        )
    chosen.show(
        ProbeRequest(
            run=trained,
            out=out,
            data=tuple(data or ()),
            prompt=prompt,
            examples=examples,
            limit=limit,
            seed=seed,
            changes=changes,
            as_json=as_json,
        )
    )
