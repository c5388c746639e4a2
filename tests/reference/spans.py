"""The answer out of the windows of a text: every span, one after the other, by the probabilities themselves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class WindowLogits:
    """A window: logits of all of its tokens, where its text begins that it may answer for, and where the text ends."""

    begin: Sequence[float]
    end: Sequence[float]
    own: tuple[int, int]
    text_ends: int


def softmax(logits: Sequence[float]) -> list[float]:
    whole = math.fsum(math.exp(x) for x in logits)
    return [math.exp(x) / whole for x in logits]


def probabilities(windows: Sequence[WindowLogits], *, longest: int) -> tuple[dict[tuple[int, int, int], float], float]:
    """How likely each span (window, first, last) is to be the answer, and how likely there is none: 1 in all."""
    sure = [(softmax(one.begin), softmax(one.end)) for one in windows]
    nothing = [begin[0] * end[0] for begin, end in sure]
    joint: dict[tuple[int, int, int], float] = {}
    for w, (one, (begin, end)) in enumerate(zip(windows, sure, strict=True)):
        others = math.prod(p for v, p in enumerate(nothing) if v != w)
        for i in range(*one.own):
            for j in range(i, min(i + longest, one.text_ends)):
                joint[w, i, j] = begin[i] * end[j] * others
    whole = math.fsum(joint.values()) + math.prod(nothing)
    return {span: p / whole for span, p in joint.items()}, math.prod(nothing) / whole


def longest_common_piece(one: Sequence[str], other: Sequence[str]) -> int:
    """Items of the longest piece that stands in both, by trying all pieces."""
    pieces = {tuple(one[a:b]) for a in range(len(one)) for b in range(a + 1, len(one) + 1)}
    theirs = {tuple(other[a:b]) for a in range(len(other)) for b in range(a + 1, len(other) + 1)}
    return max((len(piece) for piece in pieces & theirs), default=0)
