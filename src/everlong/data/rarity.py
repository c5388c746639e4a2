"""How much of a document depends on what is far behind: words that are rare, and come back after a long gap.

A word is a run of letters, digits and bytes beyond ASCII, but an East Asian character is a word of its own. It is rare
if fewer than one in `RARE` words of the corpus is the same: what a better memory predicts better is rare words (Rae et
al., 2020). It comes back if it stood in the same document before, the last time more than `gap` tokens earlier.

    share = words that are rare and come back / tokens        score = 1 + share / share of the whole corpus

The score is ours. It grows with the length of a document, as more words have been there before, and is 1 where nothing
comes back, so that no document is left out; a document whose share is the corpus's has score 2.

Words are told apart by hashes, and counted in `BUCKETS` buckets of them. The corpus is read twice, in blocks of `BLOCK`
tokens; a word of another block has not been there.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from everlong.data.masking import EAST_ASIAN
from everlong.data.store import TokenStore
from everlong.data.tokenizers import Tokenizer
from everlong.errors import DataError

RARE = 10_000
BLOCK = 1 << 20
BUCKETS = 1 << 22

# Any odd numbers with bits all over do.
FACTOR, SPREAD = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)
POWERS = np.cumprod(np.full(64, FACTOR))
"""A letter counts by its place in the word; places that far apart count alike."""

EAST = np.array([byte in EAST_ASIAN for byte in range(256)])
LETTER = np.array([byte >= 0x80 or chr(byte).isalnum() for byte in range(256)])


class Words(NamedTuple):
    """The words of a block."""

    hashes: NDArray[np.uint64]
    places: NDArray[np.int64]
    """The token in the store that holds a word's first byte."""
    documents: NDArray[np.int64]
    """The document that it stands in."""

    @property
    def buckets(self) -> NDArray[np.int64]:
        """Where each is counted."""
        return ((self.hashes * SPREAD) >> np.uint64(64 - BUCKETS.bit_length() + 1)).astype(np.int64)


def document_scores(store: TokenStore, tokenizer: Tokenizer, *, gap: int) -> NDArray[np.float64]:
    """The score ``[n_documents]`` of every document.

    Raises:
        DataError: no rare word of any document comes back.
    """
    counts = np.zeros(BUCKETS, np.int64)
    for words in _blocks(store, tokenizer):
        np.add.at(counts, words.buckets, 1)
    rare = counts * RARE < counts.sum()
    found = np.zeros(store.n_documents, np.int64)
    for words in _blocks(store, tokenizer):
        np.add.at(found, words.documents[_comes_back(words, gap=gap) & rare[words.buckets]], 1)
    store.release()
    if not found.any():
        raise DataError(
            f"no rare word of any document comes back after more than {gap} tokens, so there is nothing to favour. "
            "Leave favour at 0, or give longer documents."
        )
    return 1 + found / np.diff(store.starts) * (store.n_tokens / found.sum())


def _comes_back(words: Words, *, gap: int) -> NDArray[np.bool_]:
    order = np.lexsort((words.hashes, words.documents))
    earlier, later = order[:-1], order[1:]
    same = (words.hashes[earlier] == words.hashes[later]) & (words.documents[earlier] == words.documents[later])
    back = np.zeros(len(order), np.bool_)
    back[later] = same & (words.places[later] - words.places[earlier] > gap)
    return back


def _blocks(store: TokenStore, tokenizer: Tokenizer) -> Iterator[Words]:
    table = np.frombuffer(b"".join(tokenizer.token_bytes), np.uint8)
    lengths = tokenizer.byte_lengths
    begins = np.cumsum(lengths) - lengths
    for first in range(0, store.n_tokens, BLOCK):
        ids = store.tokens[first : first + BLOCK]
        sizes = lengths[ids]
        owners = np.repeat(np.arange(len(ids)), sizes)
        within = np.arange(len(owners)) - (np.cumsum(sizes) - sizes)[owners]
        opens = np.zeros(len(ids), np.bool_)
        low, high = np.searchsorted(store.starts, [first, first + len(ids)])
        opens[store.starts[low:high] - first] = True
        hashes, at = _words(table[begins[ids][owners] + within], opens[owners] & (within == 0))
        places = first + owners[at]
        yield Words(hashes, places, np.searchsorted(store.starts, places, side="right") - 1)


def _words(text: NDArray[np.uint8], opens: NDArray[np.bool_]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The hash of every word of a text, and where it begins; a word never goes on where the text opens anew."""
    letter, east = LETTER[text], EAST[text]
    begins = letter.copy()
    begins[1:] &= ~letter[:-1] | east[1:] | opens[1:]
    begins[3:] |= letter[3:] & east[:-3]
    at = np.flatnonzero(begins)
    if not len(at):
        return np.zeros(0, np.uint64), at
    firsts = begins[letter]
    heads = np.flatnonzero(firsts)
    place = np.arange(len(firsts)) - heads[np.cumsum(firsts) - 1]
    values = (text[letter].astype(np.uint64) + np.uint64(1)) * POWERS[place % len(POWERS)]
    return np.add.reduceat(values, heads), at
