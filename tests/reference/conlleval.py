"""Entities counted as the conlleval script does: both rows of tags word by word in step, and no spans."""

from collections import Counter
from collections.abc import Sequence


def _begins(before: str, tag: str) -> bool:
    """Whether an entity begins with the second of two tags."""
    return tag != "O" and (tag[0] == "B" or before == "O" or before[1:] != tag[1:])


def _ends(tag: str, after: str) -> bool:
    """Whether an entity ends with the first of two tags."""
    return tag != "O" and (after == "O" or after[0] == "B" or after[1:] != tag[1:])


def count_one_by_one(texts: Sequence[tuple[Sequence[str], Sequence[str]]]) -> tuple[Counter[str], ...]:
    """Entities that are there, were told and are right, by type, over texts of true and told tags."""
    have, told, right = Counter[str](), Counter[str](), Counter[str]()
    for true, guessed in texts:
        both_in_one = False
        rows = zip(["O", *true], [*true, "O"], ["O", *guessed], [*guessed, "O"], strict=True)
        for before, tag, guess_before, guess in rows:
            ended, guess_ended = _ends(before, tag), _ends(guess_before, guess)
            if both_in_one and ended and guess_ended:
                right[before[2:]] += 1
            both_in_one = both_in_one and not (ended or guess_ended)
            begun, guess_begun = _begins(before, tag), _begins(guess_before, guess)
            have[tag[2:]] += begun
            told[guess[2:]] += guess_begun
            if begun or guess_begun:
                both_in_one = begun and guess_begun and tag[2:] == guess[2:]
    return tuple(+one for one in (have, told, right))
