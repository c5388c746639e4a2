"""Documents summarized, each read whole unless the options of its run say how much of one is read."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import final

from pydantic import Field

from everlong.data.examples import Example
from everlong.data.pair_store import document_example
from everlong.data.sectioned import in_tokens
from everlong.data.summaries import SummaryOptions
from everlong.data.tokenizers import Tokenizer
from everlong.errors import DataError
from everlong.generate.targets import Search, Target, write_targets
from everlong.models.seq2seq import AnySeq2Seq


@final
class Summarizing(Search):
    """How summaries are searched for."""

    max_new_tokens: int = Field(ge=1)
    """The most tokens of a summary, the one that ends it included."""

    def limit(self, source_length: int) -> int:
        """The most tokens of a summary, however long its document."""
        del source_length
        return self.max_new_tokens


def summarize_texts(
    model: AnySeq2Seq,
    tokenizer: Tokenizer,
    texts: Iterable[str],
    *,
    options: SummaryOptions,
    search: Summarizing,
    lanes: int,
) -> Iterator[Target]:
    """Summaries of texts, in their order, each with how much of its text was not read.

    Raises:
        ConfigError: the model is in training mode, the tokenizer has another vocabulary, or ``lanes`` is less than 1.
        DataError: a text is empty, or has half a character (a lone surrogate).
        RunError: the model's scores hold NaN or infinity.
    """
    left_out: deque[int] = deque()

    def sources() -> Iterator[Example]:
        for text in texts:
            found = in_tokens(text, tokenizer, options)
            if not text.strip() or not found.tokens:
                raise DataError("a text to be summarized is empty. Leave it out.")
            left_out.append(found.left_out)
            yield document_example(found)

    for target in write_targets(model, tokenizer, sources(), search=search, lanes=lanes):
        yield replace(target, left_out=left_out.popleft())
