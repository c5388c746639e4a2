"""Overlapping windows over a line of tokens, for encoders that read no further than so many at once.

    n = 10, width 5, overlap 2

    reads     0 1 2 3 4                         [0, 5)
                    3 4 5 6 7                   [3, 8)
                        5 6 7 8 9               [5, 10)
    answers   0 1 2 3 | 4 5 | 6 7 8 9

Every token is answered for once: of two windows that read it, by the one in which it is farther from an edge; the first
of the two where both are alike. The last window is moved back so that it is full.
"""

from itertools import pairwise
from typing import NamedTuple

from everlong.errors import ConfigError


class Window(NamedTuple):
    """What is read, ``[begin, end)``, and of that what is answered for, ``[first, last)``."""

    begin: int
    end: int
    first: int
    last: int


def windows(n: int, *, width: int, overlap: int) -> list[Window]:
    """The windows over `n` tokens, in order; one window over all of them where they fit, or `width` is 0.

    Raises:
        ConfigError: windows overlap by their whole width, or by less than nothing.
    """
    if not 0 <= overlap < max(width, 1):
        raise ConfigError(
            f"windows of width={width} cannot overlap by {overlap} tokens. Give an overlap from 0 to below the width."
        )
    if not width or n <= width:
        return [Window(0, n, 0, n)]
    last = n - width
    begins = [*range(0, last, width - overlap), last]
    # Between the edge of the next window and the edge of this one, halfway; the odd token is this one's.
    cuts = [0, *((begin + width + then + 1) // 2 for begin, then in pairwise(begins)), n]
    return [Window(begin, begin + width, *span) for begin, span in zip(begins, pairwise(cuts), strict=True)]
