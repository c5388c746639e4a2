"""All commands, and how they end: 0 done, 1 a check failed, 2 bad input, 130 interrupted."""

import os
import sys
from collections.abc import Sequence

import typer

from everlong.cli.chat import chat
from everlong.cli.demo import demo
from everlong.cli.eval import eval_
from everlong.cli.generate import generate
from everlong.cli.models import models
from everlong.cli.output import say
from everlong.cli.paths import ManyPaths
from everlong.cli.train import train
from everlong.errors import EverlongError

BAD_INPUT = 2
INTERRUPTED = 130
BROKEN_PIPE = 141

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
app.command(cls=ManyPaths)(train)
app.command()(generate)
app.command()(chat)
app.command("eval", cls=ManyPaths)(eval_)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; `arguments` are those of the process unless given."""
    try:
        app(arguments)
    except EverlongError as error:
        say(f"everlong: {error}")
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BROKEN_PIPE)
