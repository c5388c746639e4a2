"""Sentences that say nothing, with others hidden among them (Mohtashami & Jaggi, 2023, arXiv:2305.16300, section 4.2;
Hsieh et al., 2024, arXiv:2404.06654, section 3).

    The grass is green. The sky is blue. ...  what is to be found  The sun is yellow. ...  a question

A hidden sentence stands between two others, at each place as likely. Its depth is the part of the other sentences that
come before it: 0 at the beginning, 100 at the end.

Words and punctuation marks are tokens. The chance that places anything is the episode's own: published generators that
shuffle with one fixed seed hide everything in the same pattern.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import chain, cycle, islice
from typing import ClassVar, TypeVar

import torch
from pydantic import Field

from everlong.data.synthetic.rules import Episode, Sizes, TokenRules
from everlong.data.words import WordTokenizer, split_words
from everlong.shapes import IGNORE

NOISE = (
    "The grass is green.",
    "The sky is blue.",
    "The sun is yellow.",
    "Here we go.",
    "There and back again.",
)
LONGER = (1, 2, 4, 8, 16)
"""Times the length of training at which it shows what was learned."""

T = TypeVar("T")
Ask = tuple[int, int, int]
"""Where an answer is asked for, which token it is, and its mark."""


class HidingRules(TokenRules, ABC):
    """What tasks with something hidden in a text share."""

    mark: ClassVar[str] = "depth"
    """The mark of an answer is the depth of what holds it, in percent, rounded up to ten."""

    length: int = Field(default=128, ge=1)
    """Tokens of a sequence; a few less, where no further sentence fits."""

    @property
    @abstractmethod
    def words(self) -> WordTokenizer:
        """What the tokens stand for."""

    @property
    @abstractmethod
    def needed(self) -> int:
        """Tokens of what is hidden and of the questions."""

    @property
    def vocab_size(self) -> int:
        """The words, and one that stands for none of them and is never shown."""
        return self.words.vocab_size

    def draw_sizes(self, rng: torch.Generator) -> Sizes:
        """Always the same."""
        del rng
        return {"length": self.length}

    def trials(self) -> tuple[Sizes, ...]:
        """As long as in training, and up to sixteen times as long."""
        return tuple({"length": times * self.length} for times in LONGER)


def vocabulary(*texts: str) -> WordTokenizer:
    """The words of some texts and of the noise as tokens."""
    return WordTokenizer.of(split_words(" ".join((*NOISE, *texts))))


def noise(words: WordTokenizer, *, room: int) -> list[list[int]]:
    """The sentences of the noise, again and again from the first, as many as fit into so many tokens."""
    sentences = [words.encode(sentence) for sentence in NOISE]
    whole, rest = divmod(room, sum(map(len, sentences)))
    count = whole * len(sentences)
    for sentence in sentences:
        if (rest := rest - len(sentence)) < 0:
            break
        count += 1
    return list(islice(cycle(sentences), count))


def hide(
    rng: torch.Generator, hidden: Sequence[Sequence[T]], among: Sequence[Sequence[T]]
) -> tuple[list[T], list[int]]:
    """All tokens of a text that keeps both in their order, and the depth of each that is hidden.

    Depths are in percent, rounded up to ten; what lies within the first tenth, the very beginning too, has depth 10.
    """
    places = torch.randint(len(among) + 1, (len(hidden),), generator=rng).sort().values.tolist()
    tokens, before = list[T](), 0
    for place, sentence in zip(places, hidden, strict=True):
        tokens += [*chain.from_iterable(among[before:place]), *sentence]
        before = place
    tokens += chain.from_iterable(among[before:])
    return tokens, [10 * max(1, -(-10 * place // max(1, len(among)))) for place in places]


def asking(tokens: Sequence[int], asks: Sequence[Ask]) -> Episode:
    """An episode that shows some tokens and asks for answers at some of them."""
    targets, marks = torch.full((len(tokens),), IGNORE), torch.zeros(len(tokens), dtype=torch.int64)
    for place, answer, mark in asks:
        targets[place], marks[place] = answer, mark
    return Episode(inputs=torch.tensor(tokens), targets=targets, marks=marks)


def require_room(rules: HidingRules) -> None:
    """Refuse a length that what is hidden does not fit into.

    Raises:
        ValueError: it does not; pydantic passes the text on as a ConfigError.
    """
    if rules.length < rules.needed:
        raise ValueError(
            f"what is hidden and asked for takes {rules.needed} tokens; give length={rules.needed} or more."
        )
