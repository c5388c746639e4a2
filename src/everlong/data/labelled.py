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
from pydantic import Field
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from everlong.config import Config
from everlong.data.examples import Example
from everlong.data.pretrained import PretrainedTokenizer
from everlong.data.records import Record, read_records
from everlong.data.sections import SectionUnit, sections
from everlong.data.text import text_files
from everlong.data.tokenizers import Tokenizer
from everlong.errors import DataError, did_you_mean
from everlong.shapes import Lengths, Tokens

LABELLED_FIELDS = ("tokens", "sections", "label")


class LabelledOptions(Config):
    """How texts become examples."""

    unit: SectionUnit = "sentence"
    """What a section is, for encoders that read in sections."""
    longest: int = Field(default=256, ge=1)
    """Tokens of a section; a longer one is cut."""
    limit: int = Field(default=0, ge=0)
    """Tokens of a text that are read, from its beginning; 0 for all. Symbols around a text count."""


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
@dataclass(frozen=True)
class Sectioned:
    """A text as tokens in sections."""

    tokens: list[int]
    begins: list[int]
    """Where among the tokens each section begins."""
    left_out: int
    """Tokens beyond the limit."""


def in_tokens(text: str, tokenizer: Tokenizer, options: LabelledOptions) -> Sectioned:
    """The tokens of a text, section by section; between two symbols where a pre-trained encoder saw every text so.

    Raises:
        DataError: the limit leaves no room between the symbols.
    """
    tokens: list[int] = []
    begins: list[int] = []
    for section in sections(text, options.unit):
        ids = tokenizer.encode(section)
        begins += range(len(tokens), len(tokens) + len(ids), options.longest)
        tokens += ids
    framed = tokenizer.framed if isinstance(tokenizer, PretrainedTokenizer) and tokens else list[int]
    symbols = len(framed([]))
    if options.limit and options.limit <= symbols:
        raise DataError(
            f"limit={options.limit} leaves no room for a text between the {symbols} symbols around it. "
            f"Give more than {symbols}, or 0 for all of each text."
        )
    kept = min(len(tokens), options.limit - symbols if options.limit else len(tokens))
    # The first section begins with the symbol before the text.
    begins = [at + symbols // 2 if at else 0 for at in begins if at < kept]
    return Sectioned(framed(tokens[:kept]), begins, len(tokens) - kept)


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
    lengths = torch.tensor([len(example["tokens"]) for example in examples])
    tokens = pad_sequence([torch.from_numpy(example["tokens"]) for example in examples], batch_first=True)
    begins = torch.zeros_like(tokens, dtype=torch.bool)
    for lane, example in enumerate(examples):
        begins[lane, torch.from_numpy(example["sections"])] = True
    labels = torch.tensor([int(example["label"][0]) for example in examples])
    return Texts(tokens=tokens, lengths=lengths, sections=begins, labels=labels)
