"""Questions in, answers out: each a part of its text, or the word that there is none."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, final

import torch

from everlong.data import Tokenizer
from everlong.data.asked import AnswerOptions, Asked, ask, collate_asked, located
from everlong.data.questions import Question
from everlong.errors import ConfigError, DataError
from everlong.evaluate.mode import evaluating
from everlong.evaluate.spans import Candidate, best_span, choose, point
from everlong.models.answerer import Answerer

POOL = 8
"""Questions for each lane whose windows are sorted by length together."""


@final
@dataclass(frozen=True, kw_only=True)
class Answered:
    """What a model answers to a question."""

    text: str
    """Empty where it says that the text has no answer."""
    begin: int | None
    """Characters of the text before the answer; ``None`` where there is none."""
    end: int | None
    """Characters up to its end."""
    probability: float

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return asdict(self)


def answer_questions(
    model: Answerer,
    tokenizer: Tokenizer,
    questions: Iterable[Question],
    options: AnswerOptions,
    *,
    declines: bool,
    lanes: int,
) -> Iterator[Answered]:
    """The answers to questions in their order, `lanes` windows read side by side.

    Args:
        model: in any mode; it is left in it.
        tokenizer: the one that it learned with.
        questions: their own answers are not looked at.
        options: how long windows and answers are; ``longest_answer`` is a number of tokens here.
        declines: whether a text may have no answer.
        lanes: windows in a batch.

    Raises:
        ConfigError: ``lanes`` is less than 1.
        DataError: a question or a text is empty, or windows leave no room beside a question.
    """
    if lanes < 1:
        raise ConfigError(f"lanes={lanes} is too small. Choose 1 or more.")
    waiting = located(questions, tokenizer)
    while part := list(islice(waiting, POOL * lanes)):
        asked = [ask(question.question, context, tokenizer, options) for question, context in part]
        found = _candidates(model, asked, longest=options.longest_answer, lanes=lanes)
        for (question, _), one, candidates in zip(part, asked, found, strict=True):
            if not candidates:
                raise DataError(f"{question.place} has a text in which there is nothing to read. Leave it out.")
            choice = choose(candidates, declines=declines)
            yield _answered(question.context, one, choice.best, choice.probability)


@torch.no_grad()
def _candidates(model: Answerer, asked: Sequence[Asked], *, longest: int, lanes: int) -> list[list[Candidate]]:
    """For each question the best span of each of its windows; windows of like length are read together."""
    rows = [
        (which, number, one.example(window))
        for which, one in enumerate(asked)
        for number, window in enumerate(one.windows)
    ]
    rows.sort(key=lambda row: -len(row[2]["tokens"]))
    found: list[list[Candidate]] = [[] for _ in asked]
    with evaluating(model):
        for at in range(0, len(rows), lanes):
            part = rows[at : at + lanes]
            logits = point(model, collate_asked([row for _, _, row in part]).to(model.device))
            for (which, number, row), its in zip(part, logits, strict=True):
                begin, stop = row["own"].tolist()
                end = int(row["context"][1])
                found[which].append(best_span(its, window=number, own=(begin, stop), end=end, longest=longest))
    return found


def _answered(text: str, asked: Asked, best: Candidate | None, probability: float) -> Answered:
    """Tokens as the characters that they come from, without white space around them."""
    if best is None:
        return Answered(text="", begin=None, end=None, probability=probability)
    shift = asked.windows[best.window].begin - len(asked.before)
    begin, end = int(asked.context.begins[best.begin + shift]), int(asked.context.ends[best.last + shift])
    part = text[begin:end]
    begin, end = begin + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())
    return Answered(text=part.strip(), begin=begin, end=max(begin, end), probability=probability)
