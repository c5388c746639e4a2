"""Words with tags as examples: windows over their tokens, with a tag asked of the first token of each word.

    words       EU   rejects      Germany
    tokens      EU   _re  ject s  _Germany
    targets     1    0    -    -  3                     one for each word; elsewhere `IGNORE`

A text that is longer than a window is read in several (everlong.data.windows), and a word's tag is asked in the window
in which its first token has most around it. An example is one window: its ``tokens`` and ``targets``, where among them
its ``sections`` (the text's sentences) begin, and the number of the ``window`` in its text, which is 0 for the first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from everlong.data.examples import Example
from everlong.data.sectioned import side_by_side
from everlong.data.spelling import Spelling
from everlong.data.windows import windows
from everlong.errors import DataError
from everlong.shapes import IGNORE, Lengths, Tokens

TAG_FIELDS = ("tokens", "targets", "sections", "window")


def tag_windows(
    words: Sequence[str], begins: Sequence[int], tags: Sequence[int], spelling: Spelling, *, width: int
) -> Iterator[Example]:
    """The windows of a text, in order; those in which nothing is asked are left out.

    Args:
        words: the text, one word or more.
        begins: the words that begin a sentence.
        tags: the numbers of the words' tags.
        spelling: makes words into tokens.
        width: tokens of a window, symbols included; 0 for the whole text.

    Raises:
        DataError: the width leaves no room between the symbols.
    """
    before, after = spelling.symbols
    symbols = len(before) + len(after)
    if width and width <= symbols:
        raise DataError(
            f"width={width} leaves no room for words between the {symbols} symbols around them. "
            f"Give more than {symbols}, or 0 for whole texts."
        )
    tokens, firsts = (np.array(one, np.int64) for one in spelling.tokens(words))
    targets = np.full(len(tokens), IGNORE)
    targets[firsts] = tags
    sections = firsts[list(begins)]
    room = width - symbols if width else 0
    number = 0
    for begin, end, first, last in windows(len(tokens), width=room, overlap=room // 4):
        asked = np.full(end - begin, IGNORE)
        asked[first - begin : last - begin] = targets[first:last]
        if (asked == IGNORE).all():
            continue
        # The first one begins with the window, and with the symbol before it.
        inside = sections[(begin < sections) & (sections < end)] - begin + len(before)
        yield {
            "tokens": np.concatenate([before, tokens[begin:end], after]).astype(np.int64),
            "targets": np.pad(asked, (len(before), len(after)), constant_values=IGNORE),
            "sections": np.concatenate([[0], inside]).astype(np.int64),
            "window": np.array([number]),
        }
        number += 1


@final
@dataclass(frozen=True, kw_only=True)
class TagBatch:
    """Windows side by side, with the tags of their words."""

    tokens: Tokens
    lengths: Lengths
    sections: Bool[Tensor, "b t"]
    targets: Int[Tensor, "b t"]

    @property
    def n_targets(self) -> int:
        """Words whose tags are asked."""
        return int((self.targets != IGNORE).sum())

    @property
    def n_tokens(self) -> int:
        """Tokens, padding left out."""
        return int(self.lengths.sum())

    def to(self, device: torch.device | str) -> "TagBatch":
        """The same on another device."""
        return TagBatch(
            tokens=self.tokens.to(device),
            lengths=self.lengths.to(device),
            sections=self.sections.to(device),
            targets=self.targets.to(device),
        )


def collate_tags(examples: Sequence[Example]) -> TagBatch:
    """The batch of some windows."""
    tokens, lengths, sections = side_by_side(*([one[name] for one in examples] for name in ("tokens", "sections")))
    asked = [torch.from_numpy(one["targets"]) for one in examples]
    targets = pad_sequence(asked, batch_first=True, padding_value=IGNORE)
    return TagBatch(tokens=tokens, lengths=lengths, sections=sections, targets=targets)
