"""Questions beside their texts, in tokens: what a model reads to find an answer, window by window.

    own tokenizers     LF question LF          window of the text
    BERT               [CLS] question [SEP]    window of the text    [SEP]
    RoBERTa            <s> question </s> </s>  window of the text    </s>

The first token stands for "there is no answer here". A question is put on one line, so that line feeds part it from
what is around it, as they part a target of ``translate``.

An example is one window: its ``tokens``, where among them the ``context`` begins and ends, in which part of that an
answer may begin that is this window's to find (``own``), the ``answers`` that it holds whole, each with its first and
its last token (the first token twice where it holds none), and the ``number`` of its question.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from everlong.config import Config
from everlong.data.bytelevel import Located
from everlong.data.examples import Example, ExampleStore
from everlong.data.pair_store import edge_token
from everlong.data.pretrained import PretrainedTokenizer
from everlong.data.questions import Question
from everlong.data.tokenizers import Tokenizer
from everlong.data.windows import Window, windows
from everlong.errors import DataError
from everlong.shapes import Lengths, Tokens

ASKED_FIELDS = ("tokens", "context", "own", "answers", "number")

Span = tuple[int, int]
"""The first and the last token of an answer."""


class AnswerOptions(Config):
    """How texts are read, and how long answers are."""

    width: int = Field(default=0, ge=0)
    """Tokens that are read at once, question and symbols included; 0 for the whole text."""
    overlap: int = Field(default=128, ge=0)
    """Tokens that a window has in common with the next one, where a text does not fit into one."""
    longest_answer: int = Field(default=0, ge=0)
    """Tokens of the longest answer that is looked for; 0 for those of the longest one that was learned."""


@final
@dataclass(frozen=True)
class Asked:
    """A question and its text in tokens, and the windows in which the text is read."""

    before: list[int]
    """The question, with symbols."""
    context: Located
    after: list[int]
    windows: list[Window]

    def example(self, window: Window, answers: Sequence[Span] = (), *, number: int = 0) -> Example:
        """One window as a store has it; `answers` are spans of the text's tokens."""
        shift = len(self.before) - window.begin
        inside = [at + shift for span in answers if window.begin <= span[0] and span[1] < window.end for at in span]
        values = (
            [*self.before, *self.context.tokens[window.begin : window.end], *self.after],
            [len(self.before), window.end + shift],
            [window.first + shift, window.last + shift],
            inside or [0, 0],
            [number],
        )
        return {name: np.array(value) for name, value in zip(ASKED_FIELDS, values, strict=True)}


def ask(question: str, context: Located, tokenizer: Tokenizer, options: AnswerOptions) -> Asked:
    """A question about a text.

    Raises:
        DataError: the windows leave no room for the text beside the question.
    """
    words = tokenizer.encode(" ".join(question.split()))
    if isinstance(tokenizer, PretrainedTokenizer):
        last = [tokenizer.last]
        before, after = [*tokenizer.framed(words), *(last if tokenizer.name == "byte-pairs" else [])], last
    else:
        edge = edge_token(tokenizer)
        before, after = [edge, *words, edge], []
    length, room = len(context.tokens), options.width - len(before) - len(after)
    if not options.width or length <= room:
        return Asked(before, context, after, windows(length, width=0, overlap=0) if length else [])
    if room <= options.overlap:
        raise DataError(
            f"a question of {len(words)} tokens leaves {max(room, 0)} of width={options.width} to its text, and "
            f"windows overlap by {options.overlap}. Give a larger task.width, or a smaller task.overlap."
        )
    return Asked(before, context, after, windows(length, width=room, overlap=options.overlap))


def token_spans(question: Question, context: Located) -> list[Span]:
    """The answers of a question that stand in its text, in tokens: all that have a character of the answer."""
    spans: list[Span] = []
    for answer in question.answers:
        if answer.place is not None:
            begin, end = answer.place
            first = int(np.searchsorted(context.ends, begin, side="right"))
            last = int(np.searchsorted(context.begins, end, side="left")) - 1
            spans += [(first, last)] if first <= last else []
    return spans


def build_asked(
    questions: Iterable[Question], tokenizer: Tokenizer, options: AnswerOptions, folder: Path
) -> ExampleStore:
    """Write questions as examples, and count what is to be said of them.

    A question that has an answer, none of which some window holds whole, is left out.

    Raises:
        DataError: there are no questions, or the windows leave no room beside one.
    """
    counts = {"n_questions": 0, "unanswerable": 0, "longest_answer": 0, "left_out": 0}
    about: dict[str, Any] = {"options": options.model_dump(), **counts}

    def examples() -> Iterator[Example]:
        for question, context in located(questions, tokenizer):
            asked, spans = ask(question.question, context, tokenizer, options), token_spans(question, context)
            rows = [asked.example(one, spans, number=about["n_questions"]) for one in asked.windows]
            if not rows or (question.answers and all(row["answers"][0] == 0 for row in rows)):
                about["left_out"] += 1
                continue
            about["n_questions"] += 1
            about["unanswerable"] += not question.answers
            about["longest_answer"] = max([about["longest_answer"], *(last - first + 1 for first, last in spans)])
            yield from rows

    return ExampleStore.build(examples(), ASKED_FIELDS, folder, about=about)


def located(questions: Iterable[Question], tokenizer: Tokenizer) -> Iterator[tuple[Question, Located]]:
    """Each question with its text in tokens; those of one text after another share them."""
    text, found = "", Located([], np.zeros(0, np.int64), np.zeros(0, np.int64))
    for question in questions:
        if question.context != text:
            text, found = question.context, tokenizer.locate(question.context)
        yield question, found


@final
@dataclass(frozen=True, kw_only=True)
class AskedBatch:
    """Windows side by side, with their answers."""

    tokens: Tokens
    lengths: Lengths
    context: Int[Tensor, "b 2"]
    """Where among its tokens each window's text begins and ends; what comes before is the question."""
    answers: Int[Tensor, "b 2"]
    """The first and the last token of the answer that is learned; 0 and 0 where the window has none."""

    @property
    def n_targets(self) -> int:
        """Windows."""
        return len(self.answers)

    @property
    def n_tokens(self) -> int:
        """Tokens, padding left out."""
        return int(self.lengths.sum())

    def to(self, device: torch.device | str) -> "AskedBatch":
        """The same on another device."""
        return AskedBatch(
            tokens=self.tokens.to(device),
            lengths=self.lengths.to(device),
            context=self.context.to(device),
            answers=self.answers.to(device),
        )


def collate_asked(examples: Sequence[Example]) -> AskedBatch:
    """The batch of some windows; of several answers the first one is learned."""
    return AskedBatch(
        tokens=pad_sequence([torch.from_numpy(example["tokens"]) for example in examples], batch_first=True),
        lengths=torch.tensor([len(example["tokens"]) for example in examples]),
        context=torch.tensor(np.array([example["context"] for example in examples])),
        answers=torch.tensor(np.array([example["answers"][:2] for example in examples])),
    )
