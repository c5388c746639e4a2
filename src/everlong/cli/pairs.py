"""Pairs of texts as the examples of ``translate``."""

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from everlong.cli.corpus import HELD_OUT, Source
from everlong.config import Config
from everlong.data import Tokenizer
from everlong.data.pair_store import build_pairs
from everlong.data.pairs import Pair, read_pairs


class PairOptions(Config):
    """What may be chosen about pairs."""

    reverse: bool = False
    """Whether to learn the source from the target."""


def build_translations(source: Source, options: PairOptions, train: Path, held_out: Path) -> Tokenizer:
    """Make the examples of a run, with one tokenizer for both sides.

    Without ``--valid``, the last twentieth of the pairs is held out, where there are 20 or more.

    Raises:
        ConfigError: the tokenizer is not known.
        DataError: there are no pairs, or they cannot be read.
    """
    count = sum(1 for _ in read_pairs(source.data))
    cut = count if source.valid else count - count // HELD_OUT

    def learned() -> Iterator[Pair]:
        return islice(turned(read_pairs(source.data), options), cut)

    tokenizer = source.make_tokenizer(
        lambda: chain.from_iterable((pair.source, "\n", pair.target, "\n") for pair in learned())
    )
    build_pairs(learned(), tokenizer, train)
    if source.valid or cut < count:
        rest = read_pairs(source.valid) if source.valid else islice(read_pairs(source.data), cut, None)
        build_pairs(turned(rest, options), tokenizer, held_out)
    return tokenizer


def turned(pairs: Iterator[Pair], options: PairOptions) -> Iterator[Pair]:
    """The pairs as they are learned: the other way round, if so chosen."""
    return (Pair(pair.target, pair.source) for pair in pairs) if options.reverse else pairs
