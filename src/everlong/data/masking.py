"""Hidden tokens: which ones a reader of both sides has to guess, and what stands in their place.

A text falls into units (tokens, words or spans), and each unit is chosen with the same chance. Of the chosen, 80 % are
replaced by the mask symbol and 10 % by tokens drawn at random, and 10 % stay as they are, so that no token that is seen
can be trusted (Devlin et al., 2019, section 3.1). All tokens of a unit share its fate.

Chance follows from a key alone: the same place of the same text hides the same tokens in a run that was interrupted, on
any number of ranks, and in every measurement.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, final

import numpy as np
import torch
from numpy.typing import NDArray

from everlong.data.chunk import Chunk
from everlong.data.lanes import LaneReader
from everlong.data.tokenizers import Tokenizer
from everlong.shapes import IGNORE

MaskUnit = Literal["token", "word", "span"]

MASKED, SHUFFLED = 0.8, 0.1
"""Parts of the chosen units that become the mask symbol, and that become other tokens."""

SPAN_END = 0.2
"""Chance of a span to end with each token, so that its length is geometric, 5 on average (Joshi et al., 2020)."""

EAST_ASIAN = range(0xE3, 0xEA)
"""First UTF-8 bytes of U+3000 to U+9FFF, whose characters are words of their own: no spaces part them."""


@final
class Masking:
    """Hides tokens of chunks.

    Args:
        tokenizer: made the tokens; its bytes say where words begin.
        mask_token: the symbol that stands for a hidden token.
        rate: chance of each unit to be chosen.
        unit: a token; a word (all between white space, or one East Asian character and what follows it); or a span of
            random length.
    """

    def __init__(self, tokenizer: Tokenizer, *, mask_token: int, rate: float, unit: MaskUnit) -> None:
        self.mask_token, self.rate = mask_token, rate
        self.unit: MaskUnit = unit
        self._vocab_size = tokenizer.vocab_size
        self._opens = np.array([opens_a_word(token) for token in tokenizer.token_bytes])
        self._closes = np.array([token[-1:].isspace() for token in tokenizer.token_bytes])

    def hide(self, chunk: Chunk, keys: Iterable[Sequence[int]]) -> Chunk:
        """The chunk with some tokens hidden, and those as targets; a key of non-negative numbers for every lane."""
        tokens = chunk.tokens.numpy().copy()
        targets = np.full_like(tokens, IGNORE)
        for lane, (key, length) in enumerate(zip(keys, chunk.lengths.tolist(), strict=True)):
            if length:
                real = slice(length)
                tokens[lane, real], targets[lane, real] = self._row(tokens[lane, real], np.random.default_rng(key))
        return Chunk(
            tokens=torch.from_numpy(tokens),
            targets=torch.from_numpy(targets),
            starts=chunk.starts,
            lengths=chunk.lengths,
        )

    def _row(self, ids: NDArray[np.int64], rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What is read and what is asked for."""
        units = np.cumsum(self._begins(ids, rng))
        chance, fate = rng.random((2, units[-1] + 1))[:, units]
        others = rng.integers(self._vocab_size, size=len(ids))
        replaced = np.where(fate < MASKED, self.mask_token, np.where(fate < MASKED + SHUFFLED, others, ids))
        chosen = chance < self.rate
        return np.where(chosen, replaced, ids), np.where(chosen, ids, IGNORE)

    def _begins(self, ids: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.bool_]:
        """Which tokens are the first of a unit."""
        match self.unit:
            case "token":
                return np.ones(len(ids), np.bool_)
            case "span":
                return rng.random(len(ids)) < SPAN_END
            case "word":
                return self._opens[ids] | np.concatenate([[True], self._closes[ids[:-1]]])


@final
class MaskedReader:
    """The chunks of a reader of lanes with some tokens hidden, others each time the text is read again."""

    def __init__(self, reader: LaneReader, masking: Masking, *, seed: int) -> None:
        self._reader, self._masking, self._seed = reader, masking, seed

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        at = (self._reader.epoch, self._reader.offset)
        keys = [(self._seed, *at, lane) for lane in self._reader.owned]
        return self._masking.hide(next(self._reader), keys)

    def cursor(self) -> dict[str, int | str]:
        """Where the next chunk begins, for every rank alike, as JSON values."""
        return self._reader.cursor()

    def seek(self, cursor: Mapping[str, object]) -> "MaskedReader":
        """Go on where a cursor of the same corpus, lanes and chunk was taken.

        Raises:
            DataError: the cursor was taken with other settings or from another corpus, or is not a cursor.
        """
        self._reader.seek(cursor)
        return self


def opens_a_word(token: bytes) -> bool:
    """Whether a token is the first of a word: white space, or an East Asian character."""
    return token[:1].isspace() or token[0] in EAST_ASIAN
