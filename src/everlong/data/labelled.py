"""Texts with labels, out of JSON lines, as examples in sections.

An example has ``tokens``, ``sections`` (where among them each section begins) and one ``label``, a number in the list
of names that its store says.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from everlong.data.examples import Example
from everlong.data.records import Record, read_records
from everlong.data.sectioned import SectionOptions, side_by_side
from everlong.data.text import text_files
from everlong.errors import DataError, did_you_mean
from everlong.shapes import Lengths, Tokens

LABELLED_FIELDS = ("tokens", "sections", "label")


class LabelledOptions(SectionOptions):
    """How labelled texts become examples."""


@final
@dataclass(frozen=True)
class LabelledText:
    """A text, its label, and the line that they come from."""

    place: str
    text: str
    label: str


def read_labelled(paths: Iterable[Path]) -> Iterator[LabelledText]:
    """The labelled texts of files of JSON lines, or of folders of such, in order.

    Raises:
        DataError: a file is missing, empty or cannot be read; or a line has no text, an empty one or no label.
    """
    for path in paths:
        empty = True
        for file in text_files(path):
            for record in read_records(file, example='{"text": "...", "label": "..."}'):
                empty = False
                yield LabelledText(record.place, _text(record), _label(record))
        if empty:
            raise DataError(f"{path} has no labelled texts in it. Give JSON lines with a text and a label each.")


def _text(record: Record) -> str:
    text = record.text("text")
    if not text.strip():
        raise DataError(f"{record.place} has an empty text, of which no label can be learned or told. Leave it out.")
    return text


def _label(record: Record) -> str:
    label = record.fields.get("label")
    if isinstance(label, int) and not isinstance(label, bool):
        return str(label)
    if not isinstance(label, str) or not label.strip():
        raise DataError(f'{record.place} has no "label" that is a word or a whole number. {record.remedy}')
    return label


def label_number(text: LabelledText, labels: Sequence[str]) -> int:
    """The number of a text's label.

    Raises:
        DataError: it is none of these.
    """
    if text.label not in labels:
        known = ", ".join(labels[:9]) + (", …" if len(labels) > 9 else "")
        raise DataError(
            f"{text.place} has the label '{text.label}', which was not learned.{did_you_mean(text.label, labels)} "
            f"Labels are {known}."
        )
    return labels.index(text.label)


@final
@dataclass(frozen=True, kw_only=True)
class Texts:
    """Texts side by side, with their labels where those are known."""

    tokens: Tokens
    lengths: Lengths
    sections: Bool[Tensor, "b t"]
    labels: Int[Tensor, "b"]

    @property
    def n_targets(self) -> int:
        """Texts."""
        return len(self.labels)

    @property
    def n_tokens(self) -> int:
        """Tokens, padding left out."""
        return int(self.lengths.sum())

    def to(self, device: torch.device | str) -> "Texts":
        """The same on another device."""
        return Texts(
            tokens=self.tokens.to(device),
            lengths=self.lengths.to(device),
            sections=self.sections.to(device),
            labels=self.labels.to(device),
        )


def collate_texts(examples: Sequence[Example]) -> Texts:
    """The batch of some examples."""
    tokens, lengths, begins = side_by_side(
        *([example[name] for example in examples] for name in ("tokens", "sections"))
    )
    labels = torch.tensor([int(example["label"][0]) for example in examples])
    return Texts(tokens=tokens, lengths=lengths, sections=begins, labels=labels)
