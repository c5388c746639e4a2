"""Texts in, entities out, each with the place where it stands."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain, islice
from typing import Any, final

import numpy as np

from everlong.data import Example, Tokenizer
from everlong.data.sections import sections
from everlong.data.spelling import Spelling, find_words
from everlong.data.tag_windows import tag_windows
from everlong.data.tagged import TagOptions
from everlong.data.tags import OUTSIDE, tagged_entities
from everlong.errors import ConfigError, DataError
from everlong.evaluate.entities import word_scores
from everlong.evaluate.tag_path import likeliest_tags
from everlong.models.tagger import Tagger

Place = tuple[int, int]


@final
@dataclass(frozen=True)
class Mention:
    """An entity of a text: characters `begin` to before `end`."""

    type: str
    text: str
    begin: int
    end: int


@final
@dataclass(frozen=True)
class Tagged:
    """The entities of a text, in order."""

    entities: tuple[Mention, ...]

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return asdict(self)


@final
@dataclass(frozen=True)
class TagReading:
    """How texts were read when their tags were learned."""

    spelling: Spelling
    options: TagOptions

    @classmethod
    def of(cls, tokenizer: Tokenizer, about: Mapping[str, Any]) -> "TagReading":
        """As a store of tagged texts says."""
        spelling = Spelling(tokenizer, by_character=about.get("by_character", False))
        return cls(spelling, TagOptions.parse(about.get("options", {})))

    def parts(self, text: str) -> list[list[list[Place]]]:
        """Where the words of a text stand: part by part of what is read together, and in each sentence by sentence."""
        sentences: list[list[Place]] = []
        at = 0
        for sentence in sections(text, "sentence"):
            words = find_words(sentence, by_character=self.spelling.by_character)
            sentences.append([(at + word.start(), at + word.end()) for word in words])
            at += len(sentence)
        sentences = list(filter(None, sentences))
        return [sentences] if self.options.unit == "document" else [[one] for one in sentences]


def tag_texts(model: Tagger, texts: Iterable[str], reading: TagReading, *, lanes: int) -> Iterator[Tagged]:
    """The entities of texts in their order, `lanes` windows of them read together.

    Raises:
        ConfigError: ``lanes`` is less than 1.
        DataError: a text is empty, or windows leave no room for words.
    """
    if lanes < 1:
        raise ConfigError(f"lanes={lanes} is too small. Choose 1 or more.")
    waiting = iter(texts)
    while some := list(islice(waiting, lanes)):
        yield from _tag(model, some, reading, lanes=lanes)


def _tag(model: Tagger, texts: list[str], reading: TagReading, *, lanes: int) -> Iterator[Tagged]:
    if not all(text.strip() for text in texts):
        raise DataError("a text to be tagged is empty. Leave it out.")
    parts = [(number, sentences) for number, text in enumerate(texts) for sentences in reading.parts(text)]
    windows = [list(_windows(texts[number], sentences, reading)) for number, sentences in parts]
    scores = iter(word_scores(model, list(chain.from_iterable(windows)), lanes=lanes))
    found: list[list[Mention]] = [[] for _ in texts]
    for (number, sentences), those in zip(parts, windows, strict=True):
        places = list(chain.from_iterable(sentences))
        tags = likeliest_tags(np.concatenate([next(scores) for _ in those]))
        for kind, first, last in tagged_entities(tags, model.types):
            begin, end = places[first][0], places[last - 1][1]
            found[number].append(Mention(kind, texts[number][begin:end], begin, end))
    return (Tagged(tuple(mentions)) for mentions in found)


def _windows(text: str, sentences: list[list[Place]], reading: TagReading) -> Iterator[Example]:
    begins = np.cumsum([0, *map(len, sentences)])[:-1].tolist()
    words = [text[begin:end] for begin, end in chain.from_iterable(sentences)]
    return tag_windows(words, begins, [OUTSIDE] * len(words), reading.spelling, width=reading.options.width)
