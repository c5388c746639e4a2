"""Sequences with what a model did while it read them: episodes of a generated task, or the beginnings of texts."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, final

import torch

from everlong.data import Document, Tokenizer
from everlong.data.synthetic import Episode, Rules, Sizes
from everlong.evaluate.addressing import count_addressed_right, places
from everlong.evaluate.episodes import are_wrong, draw_measured, require_fitting, sizes_text
from everlong.evaluate.trace import Trace, trace
from everlong.models.machine import MachineModel
from everlong.shapes import IGNORE

BLANKS = {" ": "␣", "\n": "⏎"}


@final
@dataclass(frozen=True, kw_only=True)
class Traced:
    """One sequence and its trace."""

    name: str
    """What it is, in a few words."""
    trace: Trace
    episode: Episode | None = None
    """What was shown and asked for, where vectors were read."""
    labels: tuple[str, ...] = ()
    """The tokens, where tokens were read."""
    unit: Literal["bits", "answers"] = "bits"
    """What was asked for: bits, or choices."""
    shown_at: Mapping[int, int] = field(default_factory=dict[int, int])
    """For each step that asks for a vector which was shown, the step that showed it."""

    @property
    def steps(self) -> int:
        """How many steps it took."""
        return len(self.trace.answers)

    @property
    def n_asked(self) -> int:
        """Bits, or choices, that were asked for."""
        return 0 if self.episode is None else int((self.episode.targets != IGNORE).sum())

    @property
    def n_wrong(self) -> int:
        """How many of them were likelier guessed otherwise."""
        return 0 if self.episode is None else int(are_wrong(self.trace.answers[None], self.episode.targets[None]).sum())

    @property
    def n_right(self) -> int:
        """How many of the vectors that were shown and asked for are addressed right."""
        return count_addressed_right(self.trace, self.shown_at)

    @property
    def outcome(self) -> str:
        """How it went, in words; nothing where nothing is asked for."""
        wrong = f"{self.n_wrong:,} of {self.n_asked:,} {self.unit} wrong" if self.n_asked else ""
        right = f"; {self.n_right:,} of {len(self.shown_at):,} answers addressed right" if self.shown_at else ""
        return wrong + right

    def to_dict(self) -> dict[str, Any]:
        """The summary as JSON values."""
        asked = {f"n_{self.unit}": self.n_asked, "n_wrong": self.n_wrong} if self.n_asked else {}
        right = {"n_shown": len(self.shown_at), "n_addressed_right": self.n_right} if self.shown_at else {}
        tokens = {"tokens": list(self.labels)} if self.labels else {}
        heads = {"writes": places(self.trace.writes), "reads": places(self.trace.reads)}
        return {"name": self.name, "steps": self.steps, **asked, **right, **tokens, **heads}


def trace_episodes(model: MachineModel[Any], rules: Rules, sizes: Sizes, *, count: int, first: int) -> Iterator[Traced]:
    """Episodes of these sizes that are measured, never trained on, from number `first` on.

    Raises:
        ConfigError: the model's vectors are not those of the task.
    """
    rules = rules.measured()
    require_fitting(model, rules)
    for n, episode in enumerate(draw_measured(rules, sizes, count=count, first=first), start=first):
        yield Traced(
            name=f"{rules.name}, {sizes_text(sizes)}, sequence {n:,}",
            trace=trace(model, episode.inputs),
            episode=episode,
            unit=rules.unit,
            shown_at=rules.shown_at(episode),
        )


def trace_texts(
    model: MachineModel[Any], tokenizer: Tokenizer, documents: Iterable[Document], *, count: int, limit: int
) -> Iterator[Traced]:
    """The first `limit` tokens of the first documents.

    Raises:
        DataError: a text cannot be read.
        ShapeError: a token is outside the model's vocabulary.
    """
    for document in islice(documents, count):
        pieces = tokenizer.encode_pieces(document.pieces)
        tokens = list(islice((token for piece in pieces for token in piece.tolist()), limit))
        yield Traced(
            name=f"{document.name}, {len(tokens):,} tokens",
            trace=trace(model, torch.tensor(tokens, dtype=torch.int64)),
            labels=tuple(token_label(tokenizer.token_bytes[token]) for token in tokens),
        )


def token_label(token: bytes) -> str:
    """A token as it can be printed: blanks are seen, bytes that are no text of their own stand in hexadecimal.

    >>> token_label(b" a\\n"), token_label(b"\\xe8")
    ('␣a⏎', 'e8')
    """
    try:
        text = token.decode()
    except UnicodeDecodeError:
        return token.hex()
    return "".join(BLANKS.get(c, c if c.isprintable() else f"{ord(c):02x}") for c in text)
