"""Questions about stories, their facts hidden in a book (Kuratov et al., 2024, BABILong, arXiv:2406.10149, section 2).

    ... and the wind went down before noon . mary went home . the men sat about the deck and said ... where is mary ? -

Every question is an example of its own. The facts of its story stand in their order between sentences of the book, each
at a place drawn evenly; the question comes last. The book is read on from a sentence that is drawn, and from its
beginning after its end; the last sentence is cut, so that facts and book together have the length that is wanted.
Sentences of fewer than ten words are left out, and so are dashes, which ask for answers.

What is learned is hidden in the first nine tenths of the sentences, what is measured in the last tenth. The published
benchmark takes the books of PG-19 and counts the tokens of a larger vocabulary; here words are counted.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch

from everlong.data.babi_files import BabiOptions
from everlong.data.babi_stories import BLANK, Line, Story, read_story_lines
from everlong.data.synthetic.hiding import hide
from everlong.data.synthetic.rules import MEASURED, TRAINED, generator, integer
from everlong.data.text import read_documents
from everlong.data.words import UNKNOWN, WordTokenizer, split_words
from everlong.errors import DataError

SHORTEST = 10
"""Words of a sentence of the book, at least."""
FREQUENT = 5000
"""How many of its words are told apart, the most frequent ones; all others are one unknown word."""
ENDS = frozenset(".!?")

Sentence = list[str]


def read_book(path: str) -> tuple[list[Sentence], list[Sentence]]:
    """The sentences of a text to learn with, and those to measure with.

    Raises:
        DataError: the text cannot be read, or has fewer than ten sentences that are long enough.
    """
    shared: dict[str, str] = {}
    found: list[Sentence] = []
    for document in read_documents(path):
        sentence: Sentence = []
        for word in split_words(document.text):
            if word != BLANK:
                sentence.append(shared.setdefault(word, word))
            if word in ENDS:
                if len(sentence) >= SHORTEST:
                    found.append(sentence)
                sentence = []
    if len(found) < 10:
        raise DataError(
            f"the background {path} has {len(found)} sentences of {SHORTEST} words or more, which are too few. "
            "Give a longer text."
        )
    measured = len(found) // 10
    return found[:-measured], found[-measured:]


def hiding_places(options: BabiOptions) -> tuple["Haystack", "Haystack"] | tuple[None, None]:
    """Where facts are hidden that are learned from, and those that are measured; nowhere without a background.

    Raises:
        DataError: as :func:`read_book`.
    """
    if not options.background:
        return None, None
    learned, measured = (
        Haystack(sentences=sentences, background=options.background, length=options.length, part=part)
        for part, sentences in zip((TRAINED, MEASURED), read_book(options.background), strict=True)
    )
    return learned, measured


def frequent_words(sentences: list[Sentence]) -> list[str]:
    """The words that are told apart."""
    return [word for word, _ in Counter(word for sentence in sentences for word in sentence).most_common(FREQUENT)]


@final
@dataclass(frozen=True, kw_only=True)
class Haystack:
    """Sentences of a book among which facts are hidden."""

    sentences: list[Sentence]
    background: str
    """Where they are from."""
    length: int
    """Words of facts and book; facts alone where they are no fewer."""
    part: int
    """`TRAINED` or `MEASURED`."""

    def stories(self, text: str, place: str, *, task: int, known: WordTokenizer) -> Iterator[Story]:
        """Every question of a file with what surrounds the facts before it, in an order of chance.

        Raises:
            DataError: as :func:`~everlong.data.babi_stories.read_story_lines`.
        """
        asked: list[tuple[list[Sentence], Line]] = []
        facts: list[Sentence] = []
        for line in read_story_lines(text, place):
            if line.begins:
                facts = []
            if line.answer:
                asked.append((facts.copy(), line))
            else:
                facts.append(line.words)
        # Every n-th of them in the order of the file may be the first question of its story.
        for n in torch.randperm(len(asked), generator=generator(self.part, task)).tolist():
            facts, line = asked[n]
            rng = generator(self.part, task, n + 1)
            room = max(0, self.length - sum(map(len, facts)))
            first, among = integer(rng, 0, len(self.sentences) - 1), list[Sentence]()
            while room:
                sentence = self.sentences[(first + len(among)) % len(self.sentences)][:room]
                among.append([word if known.id_of(word) else UNKNOWN for word in sentence])
                room -= len(sentence)
            words, _ = hide(rng, facts, among)
            story = Story(line.place)
            story.read([*words, *line.words])
            story.ask(line.answer)
            yield story
