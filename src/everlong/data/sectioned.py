"""Texts as tokens in sections, and side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from everlong.config import Config
from everlong.data.pretrained import PretrainedTokenizer
from everlong.data.sections import SectionUnit, sections
from everlong.data.tokenizers import Tokenizer
from everlong.errors import DataError
from everlong.shapes import Lengths, Tokens


class SectionOptions(Config):
    """How texts become tokens in sections."""

    unit: SectionUnit = "sentence"
    """What a section is, for models that read in sections."""
    longest: int = Field(default=256, ge=1)
    """Tokens of a section; a longer one is cut."""
    limit: int = Field(default=0, ge=0)
    """Tokens of a text that are read, from its beginning; 0 for all. Symbols around a text count."""


@final
@dataclass(frozen=True)
class Sectioned:
    """A text as tokens in sections."""

    tokens: list[int]
    begins: list[int]
    """Where among the tokens each section begins."""
    places: list[tuple[int, int]]
    """Which characters of the text each token comes from; a symbol around it comes from none."""
    left_out: int
    """Tokens beyond the limit."""


def in_tokens(text: str, tokenizer: Tokenizer, options: SectionOptions) -> Sectioned:
    """The tokens of a text, section by section; between two symbols where a pre-trained encoder saw every text so.

    Raises:
        DataError: the limit leaves no room between the symbols.
    """
    tokens: list[int] = []
    begins: list[int] = []
    places: list[tuple[int, int]] = []
    before = 0
    for section in sections(text, options.unit):
        found = tokenizer.locate(section)
        begins += range(len(tokens), len(tokens) + len(found.tokens), options.longest)
        tokens += found.tokens
        places += zip((before + found.begins).tolist(), (before + found.ends).tolist(), strict=True)
        before += len(section)
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
    left_out = len(tokens) - kept
    tokens, places = framed(tokens[:kept]), places[:kept]
    if symbols:
        places = [(0, 0), *places, (places[-1][1], places[-1][1])]
    return Sectioned(tokens, begins, places, left_out)


def side_by_side(
    texts: Sequence[NDArray[np.integer[Any]]], begins: Sequence[NDArray[np.integer[Any]]]
) -> tuple[Tokens, Lengths, Bool[Tensor, "b t"]]:
    """Texts one a lane, padded on the right; their lengths; and which tokens begin a section."""
    tokens = pad_sequence([torch.from_numpy(text) for text in texts], batch_first=True)
    marks = torch.zeros_like(tokens, dtype=torch.bool)
    for lane, places in enumerate(begins):
        marks[lane, torch.from_numpy(places)] = True
    return tokens, torch.tensor([len(text) for text in texts]), marks
