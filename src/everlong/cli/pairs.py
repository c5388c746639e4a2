"""Pairs of texts as the examples of ``translate`` and ``summarize``."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from everlong.cli.corpus import HELD_OUT, Source
from everlong.cli.output import say
from everlong.config import Config
from everlong.data import Tokenizer
from everlong.data.pair_store import build_pairs
from everlong.data.pairs import Pair, read_pairs
from everlong.data.sectioned import SectionOptions
from everlong.data.summaries import SummaryOptions, read_summaries

Reader = Callable[[Sequence[Path]], Iterator[Pair]]


class PairOptions(Config):
    """What may be chosen about pairs."""

    reverse: bool = False
    """Whether to learn the source from the target."""


def build_translations(source: Source, options: PairOptions, train: Path, held_out: Path) -> Tokenizer:
    """Make the examples of a run that learns to translate; see `build`."""
    return build(source, lambda paths: turned(read_pairs(paths), options), train, held_out, sections=None)


def build_summaries(source: Source, options: SummaryOptions, train: Path, held_out: Path) -> Tokenizer:
    """Make the examples of a run that learns to summarize; see `build`."""
    return build(source, read_summaries, train, held_out, sections=options)


def build(source: Source, read: Reader, train: Path, held_out: Path, *, sections: SectionOptions | None) -> Tokenizer:
    """Make the examples of a run, with one tokenizer for both sides.

    Without ``--valid``, the last twentieth of the pairs is held out, where there are 20 or more.

    Raises:
        ConfigError: the tokenizer is not known.
        DataError: there are no pairs, or they cannot be read.
    """
    count = sum(1 for _ in read(source.data))
    cut = count if source.valid else count - count // HELD_OUT

    def learned() -> Iterator[Pair]:
        return islice(read(source.data), cut)

    tokenizer = source.make_tokenizer(
        lambda: chain.from_iterable((pair.source, "\n", pair.target, "\n") for pair in learned())
    )
    store = build_pairs(learned(), tokenizer, train, options=sections)
    if source.valid or cut < count:
        rest = read(source.valid) if source.valid else islice(read(source.data), cut, None)
        build_pairs(rest, tokenizer, held_out, options=sections)
    if sections is not None and (left_out := store.about["left_out"]):
        say(f"limit={sections.limit} leaves out {left_out:,} of {store.about['source_tokens']:,} tokens of documents")
    return tokenizer


def turned(pairs: Iterator[Pair], options: PairOptions) -> Iterator[Pair]:
    """The pairs as they are learned: the other way round, if so chosen."""
    return (Pair(pair.target, pair.source) for pair in pairs) if options.reverse else pairs
