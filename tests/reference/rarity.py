"""Rare words that come back, told with dictionaries and a regular expression."""

import re
from collections import Counter
from collections.abc import Sequence

WORD = re.compile(rb"[\xe3-\xe9][\x80-\xbf]{2}|(?:[0-9A-Za-z]|[\x80-\xe2\xea-\xff][\x80-\xbf]*)+")


def scores(documents: Sequence[Sequence[bytes]], *, gap: int, rare: int) -> list[float]:
    """The score of every document, given as the bytes of its tokens; a word is rare below one in `rare` words."""
    words = [
        [(found.group(), _token(tokens, found.start())) for found in WORD.finditer(b"".join(tokens))]
        for tokens in documents
    ]
    counts = Counter(word for document in words for word, _ in document)
    shares: list[float] = []
    total = 0
    for document, tokens in zip(words, documents, strict=True):
        last: dict[bytes, int] = {}
        back = 0
        for word, place in document:
            back += counts[word] * rare < counts.total() and word in last and place - last[word] > gap
            last[word] = place
        shares.append(back / len(tokens))
        total += back
    mean = total / sum(len(tokens) for tokens in documents)
    return [1 + share / mean for share in shares]


def _token(tokens: Sequence[bytes], place: int) -> int:
    for index, token in enumerate(tokens):
        if place < len(token):
            return index
        place -= len(token)
    raise IndexError(place)
