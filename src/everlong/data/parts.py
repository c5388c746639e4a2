"""Documents in parts that follow one another: turns and sessions of a conversation, chapters of a book."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np
from numpy.typing import NDArray

from everlong.data.bytelevel import TokenArray
from everlong.data.tokenizers import Tokenizer


@final
@dataclass(frozen=True)
class Parts:
    """Where in a text its parts begin, and which stretches ``[first, last)`` of it are predicted; in characters."""

    begins: Sequence[int]
    counted: Sequence[tuple[int, int]]


Cut = Callable[[str], Parts]
"""Finds the parts of a document."""


@final
@dataclass(frozen=True)
class TokenParts:
    """A document's tokens in parts: a token is where its first byte is."""

    tokens: NDArray[np.int64]
    edges: NDArray[np.int64]
    """Where each part begins, and where the last one ends."""
    counted: NDArray[np.bool_]
    """Which tokens are predicted: never the first of a part, before which a reader may know nothing."""

    def __len__(self) -> int:
        return len(self.edges) - 1

    def part(self, index: int) -> slice:
        """The tokens of a part; none after the last."""
        return slice(self.edges[index], self.edges[index + 1]) if index < len(self) else slice(0, 0)


def token_parts(ids: TokenArray, tokenizer: Tokenizer, cut: Cut) -> TokenParts:
    """The parts of a document, of which tokens may have been left out at the end. The tokenizer is exact."""
    text = tokenizer.decode(ids)
    parts = cut(text)
    ends = np.cumsum(tokenizer.byte_lengths[ids])
    first_byte = np.concatenate([np.zeros(1, np.int64), ends])[:-1]
    places = sorted({*parts.begins, *(place for stretch in parts.counted for place in stretch)})
    byte = _bytes_before(text, places)
    begins = np.searchsorted(first_byte, [byte[begin] for begin in parts.begins])
    counted = np.zeros(len(ids), np.bool_)
    for first, last in parts.counted:
        counted[slice(*np.searchsorted(first_byte, [byte[first], byte[last]]))] = True
    counted[begins[begins < len(ids)]] = False
    return TokenParts(np.asarray(ids, np.int64), np.append(begins, len(ids)), counted)


def _bytes_before(text: str, places: Sequence[int]) -> dict[int, int]:
    """How many UTF-8 bytes stand before each of these places, which are in order."""
    found, at = {0: 0}, 0
    for before, place in pairwise([0, *places]):
        at += len(text[before:place].encode())
        found[place] = at
    return found
