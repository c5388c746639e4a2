"""How much answers agree with those of people: exact match and F1, by the rules of SQuAD, and of CMRC for Chinese.

    SQuAD    lower case, without punctuation and articles; F1 over words, however they are ordered
    CMRC     lower case, without punctuation; F1 over Chinese characters and other words, by the longest common run

(Rajpurkar et al., 2016 and 2018; Cui et al., 2019; their evaluation scripts.) A question counts with the answer that
agrees best. One that has none is answered rightly by none, and counts 1 or 0. CMRC's script cuts what is not Chinese
with NLTK; here that is cut into words and marks, so that a mixed answer's F1 may differ a little.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

from everlong.evaluate.overlap import mostly_chinese

ARTICLE = re.compile(r"\b(a|an|the)\b")
MARKS = frozenset("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
"""Punctuation as CMRC has it."""
SEGMENT = re.compile(r"[\u4e00-\u9fa5]|[^\W\u4e00-\u9fa5]+|[^\w\s]")
"""A Chinese character, another word, or a mark."""


@final
@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Two figures from 0 to 1, over all questions; and over those with an answer and those without, if there are."""

    n_questions: int
    exact: float
    f1: float
    rules: str
    """squad or cmrc."""
    n_answerable: int
    answerable_f1: float | None
    unanswerable_right: float | None

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return asdict(self)


def agreement(told: Sequence[str], answers: Sequence[Sequence[str]]) -> Agreement:
    """How well what was told agrees with the answers to each question; an empty text, or no answers, is none.

    Mostly Chinese answers are compared by CMRC's rules.
    """
    chinese = mostly_chinese([answer for its in answers for answer in its])
    one_exact, one_f1 = (cmrc_exact, cmrc_f1) if chinese else (squad_exact, squad_f1)
    exact = [_best(one_exact, text, its) for text, its in zip(told, answers, strict=True)]
    f1 = [_best(one_f1, text, its) for text, its in zip(told, answers, strict=True)]
    with_answer = [figure for figure, its in zip(f1, answers, strict=True) if its]
    without = [figure for figure, its in zip(exact, answers, strict=True) if not its]
    return Agreement(
        n_questions=len(told),
        exact=sum(exact) / len(told),
        f1=sum(f1) / len(told),
        rules="cmrc" if chinese else "squad",
        n_answerable=len(with_answer),
        answerable_f1=sum(with_answer) / len(with_answer) if with_answer else None,
        unanswerable_right=sum(without) / len(without) if without else None,
    )


def _best(compare: Callable[[str, str], float], text: str, answers: Sequence[str]) -> float:
    if not text or not answers:
        return float(not text and not answers)
    return max(compare(text, answer) for answer in answers)


def squad_words(text: str) -> list[str]:
    """Words in lower case, without punctuation and articles."""
    plain = "".join(character for character in text.lower() if character not in string.punctuation)
    return ARTICLE.sub(" ", plain).split()


def squad_exact(text: str, answer: str) -> float:
    """1 where both have the same words in the same order."""
    return float(squad_words(text) == squad_words(answer))


def squad_f1(text: str, answer: str) -> float:
    """The harmonic mean of the parts of either's words that the other has; where one has none, whether both have."""
    mine, theirs = squad_words(text), squad_words(answer)
    if not mine or not theirs:
        return float(mine == theirs)
    common = sum((Counter(mine) & Counter(theirs)).values())
    return 2 * common / (len(mine) + len(theirs))


def cmrc_plain(text: str) -> str:
    """Lower case, without punctuation."""
    return "".join(character for character in text.lower().strip() if character not in MARKS)


def cmrc_exact(text: str, answer: str) -> float:
    """1 where both have the same characters."""
    return float(cmrc_plain(text) == cmrc_plain(answer))


def cmrc_f1(text: str, answer: str) -> float:
    """The same mean of the longest run of segments that stands in both."""
    mine, theirs = SEGMENT.findall(cmrc_plain(text)), SEGMENT.findall(cmrc_plain(answer))
    run = longest_run(mine, theirs)
    return 2 * run / (len(mine) + len(theirs)) if run else 0.0


def longest_run(one: Sequence[str], other: Sequence[str]) -> int:
    """Items of the longest piece that stands in both."""
    longest, ending = 0, [0] * (len(other) + 1)
    for item in one:
        # Runs that end with this item and each of the other's.
        ending = [0, *(before + 1 if item == its else 0 for before, its in zip(ending, other, strict=False))]
        longest = max(longest, *ending)
    return longest
