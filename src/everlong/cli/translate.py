"""``everlong translate``: a file, line by line, by a run that learned to."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from everlong.cli.output import answer, say, write_text
from everlong.errors import DataError


def translate(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run that learned to translate.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="UTF-8 text, one text a line; - is standard input.")],
    beams: Annotated[int, typer.Option(help="Hypotheses kept in each step; 1 takes the likeliest token.")] = 4,
    length_penalty: Annotated[float, typer.Option(help="More favours longer translations; 0 for none.")] = 0.6,
    lanes: Annotated[int, typer.Option(help="Lines translated side by side.")] = 16,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 leaves it to PyTorch.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="All translations inside one JSON object.")] = False,
) -> None:
    """Write one line for each line of a file. An empty line stays empty; a long one is read whole."""
    import torch

    from everlong.generate.translation import Decoding
    from everlong.run import load

    if threads:
        torch.set_num_threads(threads)
    decoding = Decoding(beams=beams, length_penalty=length_penalty)
    found = load(run).translate(_lines(file), beams=beams, length_penalty=length_penalty, lanes=lanes)
    began, unended, rows = time.perf_counter(), 0, list[dict[str, Any]]()
    for one in found:
        unended += not one.ended
        if as_json:
            rows.append({"text": one.text, "score": one.score, "ended": one.ended})
        else:
            write_text(one.text + "\n")
    if unended:
        say(f"{unended:,} translations were ended by their length, not by the model.")
    if as_json:
        answer({"translations": rows, "seconds": time.perf_counter() - began, "decoding": decoding.model_dump()})


def _lines(file: Path) -> Iterator[str]:
    from everlong.cli.prompt import STDIN
    from everlong.data.pairs import text_lines
    from everlong.data.utf8 import decode

    if file != STDIN:
        if not file.is_file():
            raise DataError(f"there is no file {file} to translate. Check the path, or give - for standard input.")
        yield from text_lines(file)
        return
    offset = 0
    for number, data in enumerate(sys.stdin.buffer, start=1):
        line, _ = decode(data, Path("standard input"), offset=offset, line=number, final=True)
        offset += len(data)
        yield line.removesuffix("\n").removesuffix("\r")
