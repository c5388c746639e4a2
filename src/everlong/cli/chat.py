"""``everlong chat``: a conversation whose memory is there again tomorrow."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, final

import typer

from everlong.cli.output import say, write_text
from everlong.errors import ConfigError, DataError, EverlongError
from everlong.wording import bytes_text

if TYPE_CHECKING:
    from everlong.generate import Sampler
    from everlong.session import Session

NAMES = "You", "Everlong"
HELP = "/save [FILE] keeps the memory · /reset forgets everything · /quit ends"


def chat(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run.")],
    session: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Go on from this file, and keep it up to date after every turn.")
    ] = None,
    speakers: Annotated[
        str | None,
        typer.Option(
            help="Names before your lines and the model's, with a comma. Unless given, those of the first dialogue "
            "that the model learned, or You,Everlong."
        ),
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Tokens of an answer at most.")] = 256,
    temperature: Annotated[float, typer.Option(help="0 is the most likely token; higher is bolder.")] = 0.8,
    top_k: Annotated[int, typer.Option(help="Draw from so many of the likeliest tokens; 0 is all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Draw from the fewest tokens of this probability together.")] = 0.95,
    repetition_penalty: Annotated[float, typer.Option(help="Above 1 makes recent tokens less likely.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Which of the possible conversations.")] = 0,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 leaves it to PyTorch.", min=0)] = 0,
) -> None:
    """Talk with a model. It remembers the whole conversation in the same few bytes.

    Each line of yours is a turn; an answer is a line of the model's. /save [FILE], /reset and /quit are commands. To a
    model that learned dialogues, going on from a file is another session of the same conversation.
    """
    names = parse_speakers(speakers) if speakers is not None else None

    import torch

    from everlong.data.dialogues import BETWEEN_SESSIONS
    from everlong.generate import Sampler
    from everlong.run import load
    from everlong.session import Session
    from everlong.storage import require_place
    from everlong.train.folder import data_of

    if session is not None:
        require_place(session)
    if threads:
        torch.set_num_threads(threads)
    sampler = Sampler(temperature=temperature, top_k=top_k, top_p=top_p, repetition_penalty=repetition_penalty)
    trained = load(run)
    begun = session is not None and session.exists()
    model = trained.language_model
    past = Session.load(session, model, trained.tokenizer) if session and begun else trained.session()
    learned = data_of(run).get("speakers")
    names = names or learned_names(learned or ())
    talk = Conversation(past, names, file=session, sampler=sampler, seed=seed, max_new_tokens=max_new_tokens)
    beginning = "going on after" if begun else "a new conversation after"
    say(f"{beginning} {past.tokens_read:,} tokens · {bytes_text(past.nbytes)} · {HELP}")
    if begun and learned is not None:
        past.read(BETWEEN_SESSIONS)
    for line in lines(names[0]):
        if not talk.take(line):
            break


def parse_speakers(text: str) -> tuple[str, str]:
    """Two names.

    Raises:
        ConfigError: there are not two, or they are the same.
    """
    names = [name.strip() for name in text.split(",")]
    if len(names) != 2 or not all(names) or names[0] == names[1]:
        raise ConfigError(f"--speakers {text} are not two names. Write, for example, --speakers 'Alice,Bob'.")
    return names[0], names[1]


def learned_names(found: Sequence[str]) -> tuple[str, str]:
    """The names of two who spoke in what was learned; where there are no two, ours."""
    return (found[0], found[1]) if len(found) == 2 else NAMES


def lines(name: str) -> Iterator[str]:
    """Lines that a person types, or that come through a pipe, without their ends.

    Raises:
        DataError: a line is not UTF-8.
    """
    if sys.stdin.isatty():
        import readline  # noqa: F401 # pyright: ignore[reportUnusedImport] - makes input() editable

        while True:
            try:
                yield input(f"{name}: ")
            except EOFError:
                return
    for number, line in enumerate(sys.stdin.buffer, start=1):
        try:
            # The byte-order mark that some editors begin a file with would hide a command.
            yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DataError(
                f"line {number} of standard input is not valid UTF-8. Convert the input to UTF-8."
            ) from error


@final
class Conversation:
    """Turns taken with a session: a line read, an answer written, the file brought up to date."""

    def __init__(
        self,
        session: "Session",
        names: tuple[str, str],
        *,
        file: Path | None,
        sampler: "Sampler",
        seed: int,
        max_new_tokens: int,
    ) -> None:
        self.session, self.file = session, file
        self._names, self._sampler, self._seed, self._length = names, sampler, seed, max_new_tokens

    def take(self, line: str) -> bool:
        """Answer a line or obey a command; whether the conversation goes on."""
        if not line.strip():
            return True
        if not line.startswith("/"):
            self._answer(line)
            return True
        command, _, rest = line.partition(" ")
        match command:
            case "/quit" | "/exit":
                return False
            case "/reset":
                self.session = type(self.session)(self.session.model, self.session.tokenizer)
                say("everything is forgotten")
            case "/save":
                self._save(Path(rest.strip()) if rest.strip() else self.file)
            case "/help":
                say(HELP)
            case _:
                say(f"there is no command {command}. {HELP}")
        return True

    def _answer(self, line: str) -> None:
        from everlong.data.dialogues import mark, turn

        you, other = self._names
        self.session.read(f"{turn(you, line)}{mark(other)}")
        shown = False
        write_text(mark(other))
        for text in self.session.stream(max_new_tokens=self._length, sampler=self._sampler, seed=self._seed, stop="\n"):
            shown = True
            write_text(text)
        write_text("\n" if shown else " …\n")
        self.session.read("\n")
        if self.file is not None:
            self.session.save(self.file)

    def _save(self, file: Path | None) -> None:
        if file is None:
            say("name a file: /save FILE")
            return
        try:
            self.session.save(file)
        except EverlongError as error:
            say(str(error))
        else:
            say(f"saved {self.session.tokens_read:,} tokens in {file}")
