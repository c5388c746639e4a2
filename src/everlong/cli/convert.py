"""``everlong convert``: a pre-trained encoder of others becomes a run."""

import shlex
from pathlib import Path
from typing import Annotated, cast

import typer

from everlong.cli.output import answer, say


def convert(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A Hugging Face folder of BERT or RoBERTa kind.")],
    out: Annotated[Path, typer.Option(help="Folder for the run.")],
    to: Annotated[str, typer.Option(help="bert; for long texts longformer-encoder or hierarchical-encoder.")] = "bert",
    max_length: Annotated[
        int | None, typer.Option(help="Positions of a longformer-encoder; 4096 unless given.")
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(help="Width of its window; unless given, so wide that texts of the old length are seen whole."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Make a pre-trained encoder a run, as it is or for long texts.

    The folder holds config.json, model.safetensors, and tokenizer.json or vocab.txt.
    """
    from everlong.interop import convert
    from everlong.interop.convert import Target
    from everlong.train.folder import require_usable

    require_usable(out, resume=False)
    made = convert(folder, to=cast("Target", to), max_length=max_length, window=window)
    made.save(out)
    parameters = sum(parameter.numel() for parameter in made.model.parameters())
    say(f"{to}: {parameters:,} parameters of {folder}, and its tokenizer, {made.tokenizer.name}; saved in {out}")
    if made.left_out:
        say(f"left out, having no place in it: {', '.join(made.left_out)}")
    if made.new_head:
        say("the head for hidden tokens is new, since the file has none: until it is trained, it guesses at random")
    say(f"try: everlong eval {shlex.quote(str(out))} --data PATH")
    if as_json:
        answer(
            {
                "run": str(out),
                "model": to,
                "parameters": parameters,
                "tokenizer": made.tokenizer.name,
                "new_head": made.new_head,
                "left_out": list(made.left_out),
            }
        )
