"""Labelled texts of files as a run's examples.

Without ``--valid``, one text in twenty is held out, drawn by lot, for files are often in the order of their labels.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from everlong.cli.corpus import Source
from everlong.cli.held_out import held_out, learned
from everlong.cli.output import say
from everlong.data import ExampleStore, Tokenizer
from everlong.data.examples import Values
from everlong.data.labelled import (
    LABELLED_FIELDS,
    LabelledOptions,
    LabelledText,
    label_number,
    read_labelled,
)
from everlong.data.sectioned import in_tokens
from everlong.errors import DataError


def build_labelled(source: Source, options: LabelledOptions, folder: Path, aside: Path) -> Tokenizer:
    """Store the labelled texts of a source, and those of them that are held out; the tokenizer of both.

    Raises:
        ConfigError: the tokenizer is not known.
        DataError: a file or a line cannot be used, or there are not two labels.
    """
    # Of all texts: a rare label may be drawn whole into those held out.
    labels = sorted({text.label for text in read_labelled(source.data)})
    if len(labels) < 2:
        raise DataError(
            f"all texts have the same label, '{labels[0]}', so there is nothing to tell apart. "
            "Give texts of two labels or more."
        )
    tokenizer = source.make_tokenizer(lambda: (labelled.text for labelled in learned(source, read_labelled)))
    if next(held_out(source, read_labelled), None) is not None:
        store_labelled(held_out(source, read_labelled), labels, tokenizer, options, aside)
    store = store_labelled(learned(source, read_labelled), labels, tokenizer, options, folder)
    if left_out := store.about["left_out"]:
        say(f"limit={options.limit} leaves out {left_out:,} of {store.about['n_tokens']:,} tokens")
    return tokenizer


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
