"""Labelled texts of files as a run's examples.

Without ``--valid``, one text in twenty is held out, drawn by lot, for files are often in the order of their labels.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from everlong.cli.corpus import HELD_OUT, Source
from everlong.cli.output import say
from everlong.data import ExampleStore, Tokenizer
from everlong.data.examples import Values
from everlong.data.labelled import (
    LABELLED_FIELDS,
    LabelledOptions,
    LabelledText,
    in_tokens,
    label_number,
    read_labelled,
)
from everlong.errors import DataError


def build_labelled(source: Source, options: LabelledOptions, folder: Path, held_out: Path) -> Tokenizer:
    """Store the labelled texts of a source, and those of them that are held out; the tokenizer of both.

    Raises:
        ConfigError: the tokenizer is not known.
        DataError: a file or a line cannot be used, or there are not two labels.
    """

    def learned() -> Iterator[LabelledText]:
        return read_labelled(source.data) if source.valid else _drawn(source.data, held_out=False)

    def aside() -> Iterator[LabelledText]:
        return read_labelled(source.valid) if source.valid else _drawn(source.data, held_out=True)

    # Of all texts: a rare label may be drawn whole into those held out.
    labels = sorted({text.label for text in read_labelled(source.data)})
    if len(labels) < 2:
        raise DataError(
            f"all texts have the same label, '{labels[0]}', so there is nothing to tell apart. "
            "Give texts of two labels or more."
        )
    tokenizer = source.make_tokenizer(lambda: (labelled.text for labelled in learned()))
    if next(aside(), None) is not None:
        store_labelled(aside(), labels, tokenizer, options, held_out)
    store = store_labelled(learned(), labels, tokenizer, options, folder)
    if left_out := store.about["left_out"]:
        say(f"limit={options.limit} leaves out {left_out:,} of {store.about['n_tokens']:,} tokens")
    return tokenizer


def _drawn(paths: Iterable[Path], *, held_out: bool) -> Iterator[LabelledText]:
    """The texts that are held out, or all others; the same ones each time."""
    lot = np.random.default_rng(0)
    return (text for text in read_labelled(paths) if (lot.random() < 1 / HELD_OUT) == held_out)


def store_labelled(
    texts: Iterator[LabelledText],
    labels: Sequence[str],
    tokenizer: Tokenizer,
    options: LabelledOptions,
    folder: Path,
) -> ExampleStore:
    """A store of labelled texts, which also says how they became examples and how much the limit left out.

    Raises:
        DataError: a label is none of these.
    """
    about: dict[str, Any] = {"labels": list(labels), "options": options.model_dump(), "n_tokens": 0, "left_out": 0}

    def examples() -> Iterator[Mapping[str, Values]]:
        for text in texts:
            found = in_tokens(text.text, tokenizer, options)
            about["n_tokens"] += len(found.tokens) + found.left_out
            about["left_out"] += found.left_out
            values = found.tokens, found.begins, [label_number(text, labels)]
            yield dict(zip(LABELLED_FIELDS, values, strict=True))

    return ExampleStore.build(examples(), LABELLED_FIELDS, folder, about=about)
