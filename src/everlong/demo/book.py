"""The bundled book: Robert Louis Stevenson's *Treasure Island* (1883), in its 34 chapters."""

import lzma
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import final

TITLE = "Treasure Island"
AUTHOR = "Robert Louis Stevenson"
YEAR = 1883

HELD_OUT = 4
"""Chapters at the end of the book that training never sees."""

_HEADING = re.compile(r"\n\n\n(?P<number>\d+)\n\n(?P<title>[^\n]+)\n\n")
_PART = re.compile(r"\n\n\nPART [^\n]+$")


@final
@dataclass(frozen=True, kw_only=True)
class Chapter:
    """One chapter: its number from 1, its title, and its text, which begins with the title."""

    number: int
    title: str
    text: str

    @property
    def name(self) -> str:
        """How reports call it."""
        return f"Chapter {self.number}: {self.title}"


@cache
def chapters() -> tuple[Chapter, ...]:
    """All chapters in order. What stands before chapter 1 (title, dedication, a poem) is left out."""
    packed = files("everlong.demo").joinpath("treasure-island.txt.xz").read_bytes()
    text = lzma.decompress(packed).decode()
    headings = list(_HEADING.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    return tuple(
        Chapter(
            number=int(heading["number"]),
            title=heading["title"],
            # A part's heading stands before its first chapter, at the end of the chapter before.
            text=f"{heading['title']}\n\n{_PART.sub('', text[heading.end() : end])}\n",
        )
        for heading, end in zip(headings, ends, strict=True)
    )


def training_chapters() -> tuple[Chapter, ...]:
    """The chapters a model may learn from."""
    return chapters()[:-HELD_OUT]


def held_out_chapters() -> tuple[Chapter, ...]:
    """The last chapters, which it is judged by."""
    return chapters()[-HELD_OUT:]
