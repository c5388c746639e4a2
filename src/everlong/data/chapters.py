"""Chapters of a book, by their headings.

A heading is a line of its own that begins with ``CHAPTER`` or ``Chapter`` and a number, in digits, Roman letters or a
capitalised word (``CHAPTER XIV. The Sea``, ``Chapter One``), or with ``第…回`` or ``第…章`` around a number
(``第一回``). One with fewer than `SHORTEST` characters before the next, as in a table of contents, begins no chapter.
"""

import re
from itertools import pairwise

from everlong.data.parts import Parts

HEADING = re.compile(
    r"^[^\S\n]*(?:C(?:HAPTER|hapter)[^\S\n]+(?:\d+|[A-Z][A-Za-z-]*)\b[^\n]{0,80}"
    r"|第[^\S\n]?[零〇一二三四五六七八九十百千两\d]+[^\S\n]?[回章][^\n]{0,60})$",
    re.MULTILINE,
)
SHORTEST = 200


def chapter_parts(text: str) -> Parts:
    """The chapters of a text; what stands before the first heading belongs to the first, and is not predicted.

    A text without headings is one part, of which nothing is predicted.

    >>> book = "Preface. " + "".join(f"\\n第{number}回\\n" + "话说天下大势，" * 30 for number in "一二")
    >>> chapter_parts(book).begins
    [0, 225]
    """
    headings = [found.start() for found in HEADING.finditer(text)]
    begins = [begin for begin, following in pairwise([*headings, len(text)]) if following - begin >= SHORTEST]
    if not begins:
        return Parts([0], [])
    return Parts([0, *begins[1:]], [(begins[0], len(text))])
