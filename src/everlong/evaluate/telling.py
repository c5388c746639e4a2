"""Texts in, labels out, and for a hierarchical attention network which sentences and words it looked at."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, final

import numpy as np
import torch

from everlong.data import Tokenizer
from everlong.data.labelled import LabelledOptions, Texts, collate_texts
from everlong.data.sectioned import Sectioned, in_tokens
from everlong.errors import ConfigError, DataError
from everlong.evaluate.classes import tell
from everlong.evaluate.mode import evaluating
from everlong.models.classifier import Classifier
from everlong.models.han import HAN, Attended

WORD = re.compile(
    r"[\u0080-\u00bf\u2000-\u9fff\uf000-\U0010ffff]"  # one Chinese character, one mark of Latin-1 or of U+2000 and on
    r"|[0-9A-Za-z_'\u00c0-\u1fff\ua000-\uefff]+"  # letters and digits in a row
    r"|\S"
)
"""A word, or what stands between words."""


@final
@dataclass(frozen=True)
class Weighed:
    """A piece of text and how much it counted among its neighbours, which add up to 1, less the share
    of white space at the end and of symbols around the text."""

    text: str
    weight: float


@final
@dataclass(frozen=True)
class WeighedSentence:
    """A sentence, how much it counted in its text, and how much its words counted in it."""

    text: str
    weight: float
    words: tuple[Weighed, ...]


@final
@dataclass(frozen=True, kw_only=True)
class Told:
    """What a classifier says about a text."""

    label: str
    """The likeliest one."""
    probability: float
    probabilities: dict[str, float]
    left_out: int
    """Tokens beyond the limit, which were not read."""
    sentences: tuple[WeighedSentence, ...] | None
    """What was attended to, where that was asked for."""

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return asdict(self)


def tell_labels(
    model: Classifier,
    tokenizer: Tokenizer,
    texts: Iterable[str],
    options: LabelledOptions,
    *,
    lanes: int,
    explain: bool,
) -> Iterator[Told]:
    """The labels of texts in their order, `lanes` of them read together.

    Raises:
        ConfigError: ``lanes`` is less than 1, or an explanation is asked for, and the model does not attend to words
            and sentences.
        DataError: a text is empty, or of nothing that the tokenizer writes.
    """
    if lanes < 1:
        raise ConfigError(f"lanes={lanes} is too small. Choose 1 or more.")
    if explain and not (isinstance(model.encoder, HAN) and model.encoder.config.pooling == "attention"):
        raise ConfigError(
            f"this {model.architecture} does not weigh words and sentences. Explain a han with pooling=attention."
        )
    waiting = iter(texts)
    while part := list(islice(waiting, lanes)):
        yield from _tell(model, part, [_sectioned(text, tokenizer, options) for text in part], explain=explain)


def _sectioned(text: str, tokenizer: Tokenizer, options: LabelledOptions) -> Sectioned:
    found = in_tokens(text, tokenizer, options)
    if not text.strip() or not found.tokens:
        raise DataError("a text to be classified is empty. Leave it out.")
    return found


@torch.no_grad()
def _tell(model: Classifier, texts: Sequence[str], read: Sequence[Sectioned], *, explain: bool) -> Iterator[Told]:
    examples = [
        {"tokens": np.array(one.tokens), "sections": np.array(one.begins), "label": np.array([0])} for one in read
    ]
    batch = collate_texts(examples).to(model.device)
    with evaluating(model):
        probabilities = tell(model, batch).double().softmax(dim=-1)
        attended = _attended(model, batch) if explain else None
    for lane, (text, one, row) in enumerate(zip(texts, read, probabilities.tolist(), strict=True)):
        best = max(range(len(row)), key=row.__getitem__)
        yield Told(
            label=model.labels[best],
            probability=row[best],
            probabilities=dict(zip(model.labels, row, strict=True)),
            left_out=one.left_out,
            sentences=None if attended is None else tuple(_sentences(text, one, attended, lane)),
        )


def _attended(model: Classifier, batch: Texts) -> Attended:
    assert isinstance(model.encoder, HAN)
    return model.encoder.explain(batch.tokens, lengths=batch.lengths, sections=batch.sections)


def _sentences(text: str, one: Sectioned, attended: Attended, lane: int) -> Iterator[WeighedSentence]:
    words, sentences = attended.words[lane].tolist(), attended.sentences[lane].tolist()
    ends = [*one.begins[1:], len(one.tokens)]
    for begin, end, weight in zip(one.begins, ends, sentences, strict=False):
        part = slice(begin, end)
        first, last = one.places[begin][0], one.places[end - 1][1]
        yield WeighedSentence(text[first:last], weight, tuple(_words(text, one.places[part], words[part])))


def _words(text: str, places: list[tuple[int, int]], weights: list[float]) -> Iterator[Weighed]:
    """The words of a sentence; a token counts for the word in which it begins, or if in none, for the next."""
    at = 0
    for word in WORD.finditer(text, places[0][0], places[-1][1]):
        total = 0.0
        while at < len(places) and places[at][0] < word.end():
            begin, end = places[at]
            total += weights[at] if begin < end else 0.0
            at += 1
        yield Weighed(word.group(), total)
