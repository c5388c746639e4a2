"""Entities of a text, and the tags of its words that say where they are.

    words    EU      rejects  German   New     York    calls
    BIO      B-ORG   O        B-MISC   B-LOC   I-LOC   O        I goes on with an entity, B begins one
    IOB1     I-ORG   O        I-MISC   B-LOC   I-LOC   O        as above, but B stands only after one of the same type
    BMES     S-ORG   O        S-MISC   B-LOC   E-LOC   O        S is whole, E ends, M or I is between (BIOES)

The first two are read by one rule, that of the conlleval script: an I that nothing of its type precedes begins an
entity. Published files need that, for in most that call themselves BIO a few I follow an O. Tags with E, M or S leave
no choice, and are held to their rule, but a text may begin or end within an entity, where somebody cut a sentence. What
is learned is BIO, in numbers: O is 0, B-T and I-T of type `k` are 1 + 2k and 2 + 2k.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from everlong.errors import DataError

TAG = re.compile(r"O()|([BIMES])-(.+)")
OUTSIDE = 0


class Entity(NamedTuple):
    """A type, and the words from `begin` to before `end`."""

    type: str
    begin: int
    end: int


def read_entities(tags: Sequence[str], place: str) -> list[Entity]:
    """The entities that tags of any of these ways say, in order; `place` is where the text stands.

    Raises:
        DataError: something is no tag, or tags with E, M or S do not fit together.
    """
    letters, types = zip(*(_parts(tag, number, place) for number, tag in enumerate(tags, start=1)), strict=True)
    strict = not set("MES").isdisjoint(letters)
    found: list[Entity] = []
    begun, begin = "", 0
    for n, (letter, kind) in enumerate(zip([*letters, "O"], [*types, ""], strict=True)):
        goes_on = letter in "IME" and kind == begun
        fits = goes_on if begun else letter not in "IME"
        if strict and not fits and 0 < n < len(tags):
            raise DataError(
                f"{place}, word {n + 1}, has {tags[n]} after {tags[n - 1]}, which does not fit the other tags. With E, "
                "M or S among them, an entity is one S, or B and then any M or I and then E."
            )
        if begun and not goes_on:
            found.append(Entity(begun, begin, n))
            begun = ""
        if letter != "O" and not goes_on:
            begun, begin = kind, n
        if letter in "ES":
            found.append(Entity(begun, begin, n + 1))
            begun = ""
    return found


def tag_numbers(entities: Sequence[Entity], n_words: int, types: Sequence[str]) -> list[int]:
    """The BIO tags of a text's words, in numbers; each entity's type is one of `types`."""
    numbers = [OUTSIDE] * n_words
    for entity in entities:
        first = 1 + 2 * types.index(entity.type)
        numbers[entity.begin : entity.end] = [first, *[first + 1] * (entity.end - entity.begin - 1)]
    return numbers


def tagged_entities(numbers: Sequence[int], types: Sequence[str]) -> list[Entity]:
    """The entities of BIO tags in which no I stands without its B."""
    begins = [n for n, number in enumerate(numbers) if number % 2]
    found: list[Entity] = []
    for begin in begins:
        end = begin + 1
        while end < len(numbers) and numbers[end] == numbers[begin] + 1:
            end += 1
        found.append(Entity(types[numbers[begin] // 2], begin, end))
    return found


def _parts(tag: str, number: int, place: str) -> tuple[str, str]:
    if (found := TAG.fullmatch(tag)) is None:
        raise DataError(
            f"{place}, word {number}, has '{tag}' for a tag. A tag is O, or one of B I M E S with a type, as in B-PER."
        )
    return found[2] or "O", found[3] or ""
