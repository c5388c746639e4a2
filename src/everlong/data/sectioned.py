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
from everlong.data.sections import SectionUnit, sections
from everlong.data.tokenizers import Tokenizer
from everlong.shapes import Lengths, Tokens


class SectionOptions(Config):
    """How texts become tokens in sections."""

    unit: SectionUnit = "sentence"
    """What a section is, for models that read in sections."""
    longest: int = Field(default=256, ge=1)
    """Tokens of a section; a longer one is cut."""
    limit: int = Field(default=0, ge=0)
    """Tokens of a text that are read, from its beginning; 0 for all."""


@final
@dataclass(frozen=True)
class Sectioned:
    """A text as tokens in sections."""

    tokens: list[int]
    begins: list[int]
    """Where among the tokens each section begins."""
    left_out: int
    """Tokens beyond the limit."""


def in_tokens(text: str, tokenizer: Tokenizer, options: SectionOptions) -> Sectioned:
    """The tokens of a text, section by section."""
    tokens: list[int] = []
    begins: list[int] = []
    for section in sections(text, options.unit):
        ids = tokenizer.encode(section)
        begins += range(len(tokens), len(tokens) + len(ids), options.longest)
        tokens += ids
    kept = min(len(tokens), options.limit or len(tokens))
    return Sectioned(tokens[:kept], [at for at in begins if at < kept], len(tokens) - kept)


def side_by_side(
    texts: Sequence[NDArray[np.integer[Any]]], begins: Sequence[NDArray[np.integer[Any]]]
) -> tuple[Tokens, Lengths, Bool[Tensor, "b t"]]:
    """Texts one a lane, padded on the right; their lengths; and which tokens begin a section."""
    tokens = pad_sequence([torch.from_numpy(text) for text in texts], batch_first=True)
    marks = torch.zeros_like(tokens, dtype=torch.bool)
    for lane, places in enumerate(begins):
        marks[lane, torch.from_numpy(places)] = True
    return tokens, torch.tensor([len(text) for text in texts]), marks
