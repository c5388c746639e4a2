"""How far back a memory reaches and how much it holds: questions about what was shown, asked with and without it.

    logits, memory = model(chunk, memory)      one chunk of a sequence after another, in three readings:

    carried    with the memory that the chunks before left
    reset      with an empty one in every chunk
    other      with the one that the chunks before of the sequence in the next lane left

What a chunk begins with is a *cut*. An answer is *across* a cut if what it depends on stands before the chunk in which
it is asked for: there, `reset` can only guess, and what `carried` has more than `other` is remembered. The mark of an
answer says how far back that stands, rounded up to a power of two, so that it surely is across where

    steps since the cut  <=  mark / 2  <  distance  <=  mark
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from everlong.data import Chunk
from everlong.data.synthetic import Episode, Sizes, TokenRules, collate
from everlong.errors import ConfigError
from everlong.evaluate.bits import READINGS
from everlong.evaluate.episodes import are_wrong, count_by, draw_measured, marks_beside, require_fitting, sizes_text
from everlong.evaluate.mode import evaluating
from everlong.evaluate.reader import ignore
from everlong.memory import Memory
from everlong.models.base import AnyLanguageModel
from everlong.shapes import IGNORE

PARTS = 4
"""Chunks of the longest sequence of a size, unless a chunk is given."""

Counted = Counter[tuple[str, int]]
"""How many answers have a name of `Right` and a mark."""


class Right(NamedTuple):
    """How many answers were asked for, and how many of them were right under each reading."""

    n_answers: int = 0
    carried: int = 0
    reset: int = 0
    other: int = 0

    def accuracy(self, reading: str) -> float | None:
        """Part of the answers that are right; ``None`` where none were asked for."""
        return getattr(self, reading) / self.n_answers if self.n_answers else None

    def to_dict(self) -> dict[str, Any]:
        """Answers, and the accuracy of every reading, as JSON values."""
        return {"n_answers": self.n_answers, **{reading: self.accuracy(reading) for reading in READINGS}}


def added(parts: Sequence[Right]) -> Right:
    """The answers of all parts together."""
    return Right(*(sum(counts) for counts in zip(*parts, strict=True))) if parts else Right()


@final
@dataclass(frozen=True, kw_only=True)
class Recall:
    """What was answered in the sequences of one size, read in chunks."""

    sizes: Sizes
    n_sequences: int
    chunk: int
    chance: float
    """Accuracy of the answer that is asked for most often in other sequences of these sizes."""
    mark: str
    """What tells the answers apart."""
    by_mark: Mapping[int, Right]
    """All answers by their marks."""
    across_by_mark: Mapping[int, Right] | None
    """Those that are across a cut; ``None`` where marks do not tell."""

    @property
    def label(self) -> str:
        """The sizes in words."""
        return sizes_text(self.sizes)

    @property
    def told(self) -> Mapping[int, Right]:
        """The answers that the readings are compared by: those across a cut, or all where marks do not tell."""
        return self.by_mark if self.across_by_mark is None else self.across_by_mark

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        rows = [{self.mark: mark, **self._parts(mark)} for mark in sorted(self.by_mark)]
        return {
            "sizes": dict(self.sizes),
            "n_sequences": self.n_sequences,
            "chunk": self.chunk,
            "chance": self.chance,
            **self._parts(),
            f"by_{self.mark}": rows,
        }

    def _parts(self, *marks: int) -> dict[str, Any]:
        def told(by_mark: Mapping[int, Right] | None) -> dict[str, Any] | None:
            if by_mark is None:
                return None
            return added([by_mark.get(mark, Right()) for mark in marks or by_mark]).to_dict()

        return {"all": told(self.by_mark), "across": told(self.across_by_mark)}


def evaluate_recall(
    model: AnyLanguageModel,
    rules: TokenRules,
    *,
    trials: Sequence[Sizes],
    sequences: int,
    lanes: int,
    chunk: int | None = None,
    report: Callable[[int], None] = ignore,
) -> tuple[Recall, ...]:
    """How many answers are right under each reading, in so many sequences of each size, `lanes` of them side by side.

    `chunk` is a quarter of the longest sequence of a size unless given. `report` is called with the number of
    sequences read so far.

    Raises:
        ConfigError: there are fewer than two sequences or lanes, no tokens in a chunk, or the model's tokens are not
            those of the task.
    """
    require_readings(sequences=sequences, lanes=lanes, chunk=chunk)
    rules = rules.measured()
    require_fitting(model, rules)
    found: list[Recall] = []
    with evaluating(model), torch.inference_mode():
        for n, sizes in enumerate(trials):
            drawn = list(draw_measured(rules, sizes, count=sequences))
            others = list(draw_measured(rules, sizes, count=sequences, first=sequences))
            size = chunk or -(-max(len(episode.inputs) for episode in drawn) // PARTS)
            every, across = Counted(), Counted()
            for done, batch in groups(drawn, lanes):
                said, marks = read(model, collate(batch).to(model.device), chunk=size), marks_beside(batch)
                before = surely_across(marks, chunk=size)
                for name, where in said.items():
                    every.update({(name, mark): k for mark, k in count_by(marks, where[..., None]).items()})
                    across.update({(name, mark): k for mark, k in count_by(marks, (where & before)[..., None]).items()})
                report(n * sequences + done)
            found.append(
                Recall(
                    sizes=sizes,
                    n_sequences=sequences,
                    chunk=size,
                    chance=chance(drawn, others),
                    mark=rules.mark,
                    by_mark=_by_mark(every),
                    across_by_mark=_by_mark(across) if rules.mark == TokenRules.mark else None,
                )
            )
    return tuple(found)


def require_readings(*, sequences: int | None, lanes: int, chunk: int | None) -> None:
    """Make sure that every sequence has another one beside it, and every chunk a token.

    Raises:
        ConfigError: it is not so.
    """
    for name, size, least in (("sequences", sequences, 2), ("lanes", lanes, 2), ("chunk", chunk, 1)):
        if size is not None and size < least:
            raise ConfigError(f"{name}={size} is too small for the three readings. Choose {least} or more.")


def read(model: AnyLanguageModel, batch: Chunk, *, chunk: int) -> dict[str, Bool[Tensor, "b t"]]:
    """Where sequences side by side ask for answers (``n_answers``), and where each reading gives them.

    A sequence that has ended keeps its memory, and so has one for the lane that reads with it.
    """
    lanes, time = batch.tokens.shape
    ragged = bool((batch.lengths < time).any())
    beside = torch.arange(lanes).roll(-1)
    memory: Memory | None = None
    right: dict[str, list[Tensor]] = {name: [] for name in Right._fields}
    for first in range(0, time, chunk):
        tokens, targets = (x[:, first : first + chunk] for x in (batch.tokens, batch.targets))
        lengths = (batch.lengths - first).clamp(0, tokens.shape[1]) if ragged else None
        logits, after = model(tokens, memory, lengths=lengths)
        given = {"carried": logits, "reset": logits, "other": logits}
        # In the first chunk there is nothing to remember, so the readings are the same.
        if memory is not None:
            given["reset"] = model(tokens, None, lengths=lengths)[0]
            given["other"] = model(tokens, memory.select(beside), lengths=lengths)[0]
        asked = targets != IGNORE
        right["n_answers"].append(asked)
        for reading, answer in given.items():
            right[reading].append(asked & ~are_wrong(answer, targets).squeeze(-1))
        memory = after
    return {name: torch.cat(pieces, dim=1).cpu() for name, pieces in right.items()}


def surely_across(marks: Int[Tensor, "b t"], *, chunk: int) -> Bool[Tensor, "b t"]:
    """Where what stands at the distance of a mark is before the chunk, for every distance that rounds up to the mark.

    >>> surely_across(torch.tensor([[0, 0, 0, 0, 1, 1, 4, 4]]), chunk=4).tolist()
    [[False, False, False, False, True, False, True, False]]
    """
    since = torch.arange(marks.shape[1]) % chunk
    return (marks > 0) & (2 * since <= marks)


def groups(drawn: Sequence[Episode], lanes: int) -> Iterator[tuple[int, Sequence[Episode]]]:
    """So many sequences at a time, and how many there were with them; a single last one joins those before it."""
    first = 0
    while first < len(drawn):
        last = first + lanes if len(drawn) - first - lanes != 1 else len(drawn)
        yield min(last, len(drawn)), drawn[first:last]
        first = last


def chance(drawn: Sequence[Episode], others: Sequence[Episode]) -> float:
    """How often the answer that is asked for most often in others is right."""
    most = Counter(torch.cat([answers_of(episode) for episode in others]).tolist()).most_common(1)[0][0]
    return float((torch.cat([answers_of(episode) for episode in drawn]) == most).double().mean())


def answers_of(episode: Episode) -> Int[Tensor, "n"]:
    """All that is asked for, in its order."""
    return episode.targets[episode.asked].long()


def _by_mark(counted: Mapping[tuple[str, int], int]) -> dict[int, Right]:
    marks = sorted({mark for _, mark in counted})
    return {mark: Right(*(counted.get((name, mark), 0) for name in Right._fields)) for mark in marks}
