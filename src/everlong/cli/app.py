"""All commands, and how they end: 0 done, 1 a check failed, 2 bad input, 130 interrupted."""

import os
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

import typer

from everlong.cli.answer import answer
from everlong.cli.chat import chat
from everlong.cli.classify import classify
from everlong.cli.convert import convert
from everlong.cli.demo import demo
from everlong.cli.eval import eval_
from everlong.cli.generate import generate
from everlong.cli.models import models
from everlong.cli.output import say
from everlong.cli.paths import ManyPaths
from everlong.cli.plan import plan
from everlong.cli.probe import probe
from everlong.cli.summarize import summarize
from everlong.cli.tag import tag
from everlong.cli.train import train
from everlong.cli.translate import translate
from everlong.errors import EverlongError

BAD_INPUT = 2

NO_ROOM = "there is not enough memory for this. Choose smaller sizes, fewer lanes or a shorter chunk."

app = typer.Typer(
    name="everlong",
    help="Long-term memory for language models: train on your own text, generate, save the memory, go on tomorrow.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo)
app.command()(models)
app.command()(plan)
app.command(cls=ManyPaths)(train)
app.command()(convert)
app.command()(generate)
app.command()(chat)
app.command()(translate)
app.command()(summarize)
app.command()(classify)
app.command()(tag)
app.command()(answer)
app.command("eval", cls=ManyPaths)(eval_)
app.command(cls=ManyPaths)(probe)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; `arguments` are those of the process unless given."""
    with warnings.catch_warnings():
        warnings.showwarning = _say_warning
        try:
            app(arguments)
        except EverlongError as error:
            _end(str(error))
        except OSError as error:
            _end(f"the system refused: {error}. Check the path, its permissions and the space left.")
        except MemoryError:
            _end(NO_ROOM)
        except RuntimeError as error:
            # PyTorch has no class of its own for this on a CPU.
            if "allocate memory" not in str(error) and "out of memory" not in str(error):
                raise
            _end(NO_ROOM)


def _end(reason: str) -> NoReturn:
    # Under torchrun every rank fails for the same reason; one says so.
    if os.environ.get("RANK", "0") == "0":
        say(f"everlong: {reason}")
    sys.exit(BAD_INPUT)


def _say_warning(message: Warning | str, category: type[Warning], *place: object) -> None:
    del category, place
    say(f"everlong: {message}")
