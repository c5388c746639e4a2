"""``everlong demo``: from a bundled book to a report, in minutes on two cores."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everlong.cli.output import answer, say
from everlong.cli.progress import reporting
from everlong.errors import RunError
from everlong.wording import bytes_text, duration_text

if TYPE_CHECKING:
    from everlong.demo.show import Showing

FAILED = 1


def demo(
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A new folder for everything; demo, demo-2 and so on unless given."),
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="Minutes of training; the rest takes half a minute.")] = 4.0,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 tries what is fastest now.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Train a small model on a bundled book and show what its memory is good for.

    It learns from the first chapters of Treasure Island, is measured on the last ones with and without memory, writes
    on, saves what it remembers, and goes on from it in a new process. DIR/report.html shows it all.
    """
    folder = free_folder(out)

    from everlong.demo.report import write_report
    from everlong.demo.settings import training
    from everlong.demo.show import show
    from everlong.report.page import require_jinja

    require_jinja()
    with reporting() as report:
        found = show(folder, training=training(minutes=minutes), threads=threads, tell=say, report=report)
    write_report(found)
    say(summary(found))
    if as_json:
        answer(found.to_dict())
    if not found.story.same:
        raise typer.Exit(FAILED)


def summary(found: "Showing") -> str:
    """The findings in a few lines."""
    measured, story = found.evaluation, found.story
    other = "" if measured.bits_per_byte_other is None else f", with another's {measured.bits_per_byte_other:.3f}"
    survived = f"a new process loaded the memory ({bytes_text(story.file_bytes)}) and wrote "
    survived += (
        f"the same {len(story.written)} characters"
        if story.same
        else "something else: the memory did not survive. Please report this"
    )
    return (
        f"held-out chapters: {measured.bits_per_byte:.3f} bits per byte with their memory, "
        f"without {measured.bits_per_byte_reset:.3f}{other}\n"
        f"{survived}\n"
        f"{duration_text(found.seconds)} in all; look at {found.report}"
    )


def free_folder(out: Path | None) -> Path:
    """The folder asked for, or the first of demo, demo-2, demo-3, ... that is free.

    Raises:
        RunError: the folder asked for has something in it.
    """
    if out is None:
        number = 1
        while _in_use(path := Path("demo" if number == 1 else f"demo-{number}")):
            number += 1
        return path
    if _in_use(out):
        raise RunError(f"{out} is in use: there is something in it. Choose another folder with --out, or remove it.")
    return out


def _in_use(path: Path) -> bool:
    return path.exists() and not (path.is_dir() and not any(path.iterdir()))
