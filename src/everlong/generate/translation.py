"""Lines translated, many at once, each as it would be alone."""

from collections.abc import Iterable, Iterator
from typing import final

import numpy as np
from pydantic import Field

from everlong.data.tokenizers import Tokenizer
from everlong.generate.targets import Search, Target, write_targets
from everlong.models.seq2seq import AnySeq2Seq

SPARE = 50


@final
class Decoding(Search):
    """How translations are searched for."""

    longest: float = Field(default=3.0, gt=0.0, allow_inf_nan=False)
    """A translation ends after so many times the tokens of its source, and `SPARE` more."""

    def limit(self, source_length: int) -> int:
        """The most tokens of a translation."""
        return int(self.longest * source_length) + SPARE


def translate_lines(
    model: AnySeq2Seq, tokenizer: Tokenizer, lines: Iterable[str], *, decoding: Decoding, lanes: int = 16
) -> Iterator[Target]:
    """Translations of lines, in their order; a line is read whole, however long, and an empty one stays empty.

    Raises:
        ConfigError: the model is in training mode, the tokenizer has another vocabulary, or ``lanes`` is less than 1.
        DataError: a line has half a character (a lone surrogate).
        RunError: the model's scores hold NaN or infinity.
    """
    sources = ({"source": np.array(tokenizer.encode(line) if line.strip() else [], np.int64)} for line in lines)
    return write_targets(model, tokenizer, sources, search=decoding, lanes=lanes)
