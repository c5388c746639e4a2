"""How much a text repeats itself: what a model without memory of what it has said does most."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+")
"""A Chinese character, or a word in other letters; punctuation is left out."""


@final
@dataclass(frozen=True, kw_only=True)
class Repetition:
    """Shares from 0 to 1 of the n-grams of some texts; ``None`` where they have none."""

    n_words: int
    repeated_4: float | None
    """Of all 4-grams, those that stood before in the same text (seq-rep-4 of Welleck et al., 2019)."""
    distinct_1: float | None
    distinct_2: float | None
    """Different n-grams of all texts together, of all their n-grams (Li et al., 2016)."""

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return asdict(self)


def repetition(texts: Sequence[str]) -> Repetition:
    """Count the words of texts.

    >>> repetition(["to be or not to be or not"]).repeated_4
    0.2
    """
    words = [WORD.findall(text.lower()) for text in texts]
    fours = [n_grams(text, 4) for text in words]
    distinct = share(sum(len(set(four)) for four in fours), sum(map(len, fours)))
    pooled = {n: [gram for text in words for gram in n_grams(text, n)] for n in (1, 2)}
    return Repetition(
        n_words=sum(map(len, words)),
        repeated_4=None if distinct is None else 1 - distinct,
        distinct_1=share(len(set(pooled[1])), len(pooled[1])),
        distinct_2=share(len(set(pooled[2])), len(pooled[2])),
    )


def n_grams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """All runs of `n` words."""
    return [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]


def share(part: int, whole: int) -> float | None:
    """A part of a whole; ``None`` of nothing."""
    return part / whole if whole else None
