"""Stories with questions as the files of the bAbI tasks have them, line by line."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, final

from everlong.data.words import split_words
from everlong.errors import DataError

BLANK = "-"
"""Stands where a word of an answer is asked for."""


@final
@dataclass(frozen=True)
class Story:
    """A story with its questions: what is read, and the word that is asked for at each place, if any."""

    place: str
    """File and line where it begins."""
    words: list[str] = field(default_factory=list[str])
    answers: list[str | None] = field(default_factory=list[str | None])

    def read(self, words: Iterable[str]) -> None:
        """Go on with these words."""
        self.words.extend(words)
        self.answers.extend([None] * (len(self.words) - len(self.answers)))

    def ask(self, answer: Iterable[str]) -> None:
        """Go on with a dash for each word of an answer."""
        for word in answer:
            self.words.append(BLANK)
            self.answers.append(word)

    @property
    def asks(self) -> bool:
        """Whether there is a question in it."""
        return any(answer is not None for answer in self.answers)


class Line(NamedTuple):
    """A sentence of a story: a fact, or a question with the words of its answer."""

    place: str
    """File and line."""
    begins: bool
    """Whether a story begins here."""
    words: list[str]
    answer: list[str]
    """Empty for a fact."""


def read_story_lines(text: str, place: str) -> Iterator[Line]:
    """The lines of a file.

    Raises:
        DataError: a line has no number that goes on from the one before, no words, or a question without an answer.
    """
    last = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        count, _, rest = line.partition(" ")
        sentence, *answer = rest.split("\t")
        counted = int(count) if count.isascii() and count.isdigit() else 0
        if counted not in (1, last + 1) or not sentence.strip():
            raise DataError(
                f"{place}:{number} is no line of a story: {line[:40]!r}. A line is a number, which goes on from the "
                "line before or begins again at 1, and a sentence: 1 Mary moved to the bathroom."
            )
        last = counted
        wanted = [word for part in answer[0].split(",") for word in split_words(part)] if answer else []
        if answer and not wanted:
            raise DataError(
                f"{place}:{number} asks a question without an answer: {line[:40]!r}. Write the answer after a tab: "
                "2 Where is Mary?<tab>bathroom<tab>1."
            )
        yield Line(f"{place}:{number}", counted == 1, split_words(sentence), wanted)


def read_stories(text: str, place: str) -> Iterator[Story]:
    """The stories of a file, each with all of its questions; those without a question are left out.

    Raises:
        DataError: as :func:`read_story_lines`.
    """
    story = Story(f"{place}:1")
    for line in read_story_lines(text, place):
        if line.begins:
            if story.asks:
                yield story
            story = Story(line.place)
        story.read(line.words)
        story.ask(line.answer)
    if story.asks:
        yield story
