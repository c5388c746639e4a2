"""Generated passages: text of the corpus in which codes are told, and asked for later.

    ... The code of Tamoru is 4821. ... (text of the corpus) ... What is the code of Tamoru? It is 4821. ...

A passage has one fact or more, and each is asked for once. Either all facts stand together, then comes text, then all
questions in any order, as in multi-query recall; or facts and questions are scattered over the text, each question
somewhere after its fact, as needles are in a haystack. The text is a stretch of the corpus, cut where words begin. What
is told follows from chance alone, so that only memory answers.

Passages are text in the tokens of a run. They are Chinese with the chance that a letter of the corpus is.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from everlong.data.bytelevel import TokenArray
from everlong.data.masking import EAST_ASIAN, opens_a_word
from everlong.data.store import TokenStore
from everlong.data.tokenizers import Tokenizer

SHORTEST, LONGEST = 0.5, 16.0
"""Chunks of text in a passage: how many follows from a uniform logarithm."""
SPACED, MOST = 64, 16
"""A passage has at most one fact for so many tokens of text, and at most so many facts."""
RESERVED = 8
"""One key in so many is never in what is trained on."""
SAMPLE = 1 << 20
"""Tokens of the corpus that show which language it is in."""

SYLLABLES = [consonant + vowel for consonant in "bdfghjklmnprstvwyz" for vowel in "aeiou"]
CHARACTERS = list("安白成大东方高光国海和红华江金久开兰林龙美明南平青清山石书水松天文西星阳玉远云竹")


@final
@dataclass(frozen=True)
class Wording:
    """How a code is told, and asked for, around its key. The code follows."""

    parts: list[str]
    told: str
    asked: str
    end: str

    def key(self, number: int) -> str:
        """The key of a number: a made-up name of three parts."""
        places = (number // len(self.parts) ** place % len(self.parts) for place in range(3))
        return "".join(self.parts[place] for place in places).capitalize()


ENGLISH = Wording(SYLLABLES, "\nThe code of {} is", "\nWhat is the code of {}? It is", ".\n")
CHINESE = Wording(CHARACTERS, "\n{}的密码是", "\n{}的密码是多少？是", "。\n")


@final
@dataclass(frozen=True, kw_only=True)
class Answer:
    """A code that is asked for."""

    begin: int
    """Its first token in the passage."""
    end: int
    """The token after its last one."""
    distance: int
    """How many tokens before it the same code was told."""


@final
@dataclass(frozen=True, kw_only=True)
class Passage:
    """Tokens, and where in them codes are asked for."""

    tokens: NDArray[np.int64]
    answers: tuple[Answer, ...]


@final
class Passages:
    """Draws passages.

    Args:
        store: the corpus that the text is taken from.
        tokenizer: made it.
        chunk: what the length of a passage is counted in, in tokens.
        measured: whether keys are those that are reserved for measuring, and not the others.
    """

    def __init__(self, store: TokenStore, tokenizer: Tokenizer, *, chunk: int, measured: bool = False) -> None:
        self._store, self._tokenizer, self._measured = store, tokenizer, measured
        self._range = (max(1.0, SHORTEST * chunk), max(1.0, LONGEST * chunk))
        self._opens = np.array([opens_a_word(token) for token in tokenizer.token_bytes])
        self._chinese = chinese_share(store.tokens[:SAMPLE], tokenizer)

    def draw(self, rng: np.random.Generator, *, length: int | None = None, facts: int | None = None) -> Passage:
        """A passage with so many tokens of text, or fewer where the corpus has no more, and so many facts."""
        low, high = np.log(self._range)
        length = min(length or int(np.exp(rng.uniform(low, high))), self._store.n_tokens)
        facts = facts or int(rng.integers(1, max(1, min(MOST, length // SPACED)) + 1))
        wording = CHINESE if rng.random() < self._chinese else ENGLISH
        keys = self._keys(rng, wording, facts)
        codes = [f"{rng.integers(10_000):04d}" for _ in keys]
        if wording is ENGLISH:
            codes = [f" {code}" for code in codes]
        order, cuts = together(rng, facts, length) if rng.random() < 0.5 else scattered(rng, facts, length)
        begin = int(rng.integers(self._store.n_tokens - length + 1))
        text = self._whole_words(self._store.tokens[begin : begin + length])
        parts: list[NDArray[np.int64]] = []
        size, at, told, answers = 0, 0, dict[int, int](), list[Answer]()
        for which, cut in zip(order, cuts, strict=True):
            cut = max(at, self._opening(text, cut))
            before = (wording.asked if which in told else wording.told).format(keys[which])
            pieces = [text[at:cut], *(self._tokenizer.encode(piece) for piece in (before, codes[which], wording.end))]
            first = size + len(pieces[0]) + len(pieces[1])
            if which in told:
                answers.append(Answer(begin=first, end=first + len(pieces[2]), distance=first - told[which]))
            told[which] = first
            parts += [np.asarray(piece, np.int64) for piece in pieces]
            size, at = first + len(pieces[2]) + len(pieces[3]), cut
        parts.append(text[at:].astype(np.int64))
        return Passage(tokens=np.concatenate(parts), answers=tuple(answers))

    def _keys(self, rng: np.random.Generator, wording: Wording, count: int) -> list[str]:
        numbers: list[int] = []
        while len(numbers) < count:
            number = int(rng.integers(len(wording.parts) ** 3))
            if (number % RESERVED == 0) == self._measured and number not in numbers:
                numbers.append(number)
        return [wording.key(number) for number in numbers]

    def _whole_words(self, text: TokenArray) -> TokenArray:
        """What stands between the first and the last beginning of a word; everything where there are no two."""
        here = np.flatnonzero(self._opens[text])
        return text[here[0] : here[-1]] if len(here) > 1 else text

    def _opening(self, text: TokenArray, at: int) -> int:
        """The first place from `at` on where a word begins; the end where none does."""
        here = np.flatnonzero(self._opens[text[at:]])
        return at + int(here[0]) if len(here) else len(text)


def together(rng: np.random.Generator, facts: int, length: int) -> tuple[list[int], list[int]]:
    """All facts, then the text, then all questions: their order, and how much text stands before each."""
    return [*range(facts), *rng.permutation(facts).tolist()], [0] * facts + [length] * facts


def scattered(rng: np.random.Generator, facts: int, length: int) -> tuple[list[int], list[int]]:
    """Facts and questions in any order, but a fact before its question, anywhere in the text."""
    order = rng.permutation(np.repeat(np.arange(facts), 2)).tolist()
    return order, np.sort(rng.integers(length + 1, size=2 * facts)).tolist()


def chinese_share(ids: TokenArray, tokenizer: Tokenizer) -> float:
    """Which part of the letters, Latin and East Asian, of these tokens is East Asian."""
    counts = np.bincount(ids, minlength=tokenizer.vocab_size)
    latin, east = 0, 0
    for token, count in zip(tokenizer.token_bytes, counts.tolist(), strict=True):
        if count:
            latin += count * sum(byte < 0x80 and chr(byte).isalpha() for byte in token)
            east += count * sum(byte in EAST_ASIAN for byte in token)
    return east / max(1, latin + east)
