"""How many entities of tagged texts are found, all together and type by type.

    precision = right / told        recall = right / have        F1 = 2 right / (told + have)

An entity is right where its first word, its last word and its type are, as the CoNLL tasks count (Tjong Kim Sang & De
Meulder, 2003, section 2.4). Figures over all types are those of all entities together (micro).
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from everlong.data import ExampleStore
from everlong.data.examples import Example
from everlong.data.tag_windows import TagBatch, collate_tags
from everlong.data.tags import Entity, tagged_entities
from everlong.errors import ConfigError
from everlong.evaluate.mode import evaluating
from everlong.evaluate.reader import ignore
from everlong.evaluate.tag_path import likeliest_tags
from everlong.models.tagger import Tagger
from everlong.shapes import IGNORE

Scores = NDArray[np.float64]
Guess = Callable[[Tagger, TagBatch], Float[Tensor, "b t c"]]

POOL = 50
"""Batches whose windows are sorted by length together."""


@final
@dataclass(frozen=True)
class Count:
    """Entities that are there, that were told, and that are right."""

    have: int
    told: int
    right: int

    @property
    def precision(self) -> float:
        """Part of those told that are right; 0 where none were."""
        return self.right / self.told if self.told else 0.0

    @property
    def recall(self) -> float:
        """Part of those there that were told; 0 where there are none."""
        return self.right / self.have if self.have else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        return 2 * self.right / (self.told + self.have) if self.told + self.have else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "have": self.have,
            "told": self.told,
            "right": self.right,
        }


@final
@dataclass
class EntityEvaluation:
    """What a tagger said about some texts; grows text by text."""

    have: Counter[str] = field(default_factory=Counter[str])
    """Entities of each type that are there, as are those below."""
    told: Counter[str] = field(default_factory=Counter[str])
    right: Counter[str] = field(default_factory=Counter[str])
    n_texts: int = 0
    n_words: int = 0
    nats: float = 0.0
    """Negative log-likelihood of all tags together, each by itself."""

    def add(self, have: Iterable[Entity], told: Iterable[Entity]) -> None:
        """Count the entities of one text."""
        have, told = set(have), set(told)
        for count, entities in ((self.have, have), (self.told, told), (self.right, have & told)):
            count.update(entity.type for entity in entities)
        self.n_texts += 1

    @property
    def all(self) -> Count:
        """Entities of all types together."""
        return Count(self.have.total(), self.told.total(), self.right.total())

    @property
    def by_type(self) -> dict[str, Count]:
        """Entities of each type that is there or was told."""
        types = sorted(self.have.keys() | self.told.keys())
        return {kind: Count(self.have[kind], self.told[kind], self.right[kind]) for kind in types}

    @property
    def bits(self) -> float:
        """Bits for each tag."""
        return self.nats / math.log(2) / self.n_words

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            "n_texts": self.n_texts,
            "n_words": self.n_words,
            **self.all.to_dict(),
            "bits_per_word": self.bits,
            "by_type": {kind: count.to_dict() for kind, count in self.by_type.items()},
        }


def tell_tags(model: Tagger, texts: TagBatch) -> Float[Tensor, "b t c"]:
    """Unnormalised log-probabilities of the tags of all tokens."""
    return model(texts.tokens, lengths=texts.lengths, sections=texts.sections)


def evaluate_entities(
    model: Tagger,
    store: ExampleStore,
    *,
    lanes: int,
    limit: int | None = None,
    report: Callable[[int], None] = ignore,
    guess: Guess = tell_tags,
) -> EntityEvaluation:
    """Read tagged texts, `limit` of them spread evenly over all, and count. Reports how many windows were read.

    Raises:
        ConfigError: ``lanes`` is less than 1.
    """
    found, done = EntityEvaluation(), 0
    for part in _groups(store, lanes=lanes, limit=limit):
        windows = [window for text in part for window in text]
        scores = iter(word_scores(model, windows, lanes=lanes, guess=guess))
        for text in part:
            tags = np.concatenate([window["targets"] for window in text])
            tags = tags[tags != IGNORE]
            words = np.concatenate([next(scores) for _ in text])
            found.nats -= float(words[np.arange(len(tags)), tags].sum())
            found.n_words += len(tags)
            found.add(*(tagged_entities(some, model.types) for some in (tags.tolist(), likeliest_tags(words))))
        done += len(windows)
        report(done)
    return found


def word_scores(model: Tagger, windows: Sequence[Example], *, lanes: int, guess: Guess = tell_tags) -> list[Scores]:
    """Log-probabilities ``[n c]`` of the tags that are asked in each window; those of like length are read together.

    Raises:
        ConfigError: ``lanes`` is less than 1.
    """
    if lanes < 1:
        raise ConfigError(f"lanes={lanes} is too small to read a window. Choose 1 or more.")
    order = sorted(range(len(windows)), key=lambda n: -len(windows[n]["tokens"]))
    found: dict[int, Scores] = {}
    with evaluating(model), torch.no_grad():
        for at in range(0, len(order), lanes):
            part = order[at : at + lanes]
            texts = collate_tags([windows[n] for n in part]).to(model.device)
            scores = guess(model, texts).double().log_softmax(dim=-1)
            asked = texts.targets != IGNORE
            found |= zip(part, (s[a].cpu().numpy() for s, a in zip(scores, asked, strict=True)), strict=True)
    return [found[n] for n in range(len(windows))]


def _groups(store: ExampleStore, *, lanes: int, limit: int | None) -> Iterator[list[list[Example]]]:
    """The windows of whole texts, of so many texts at a time that reading those of like length together pays."""
    firsts = [n for n in range(len(store)) if store[n]["window"][0] == 0]
    ends = [*firsts[1:], len(store)]
    count = len(firsts) if limit is None else min(limit, len(firsts))
    group: list[list[Example]] = []
    size = 0
    for text in (n * len(firsts) // count for n in range(count)):
        group.append([store[n] for n in range(firsts[text], ends[text])])
        size += len(group[-1])
        if size >= POOL * lanes:
            yield group
            group, size = [], 0
    if group:
        yield group
