"""Which tokens of a text are predicted again and again, with more context each time.

They stand in blocks, evenly spread over the text that is read, none of them nearer to the beginning of its document
than the longest context is long: so every context can be given to every one of them.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from everlong.data import TokenStore
from everlong.errors import DataError


@final
@dataclass(frozen=True, kw_only=True)
class Targets:
    """Blocks of equally many tokens of a store."""

    first: NDArray[np.int64]
    """Where each block begins among all tokens of the store."""
    block: int

    @property
    def places(self) -> NDArray[np.int64]:
        """Where each target stands among all tokens of the store, block after block."""
        return (self.first[:, None] + np.arange(self.block)).ravel()


def block_of(context: int) -> int:
    """Targets that share one reading of a context: 1 below 16, so that none has an eighth more than it should.

    >>> [block_of(context) for context in (1, 8, 16, 1024)]
    [1, 1, 2, 128]
    """
    return max(1, context // 8)


def choose_targets(store: TokenStore, *, longest: int, count: int, limit: int | None = None) -> Targets:
    """About `count` tokens of the store, in blocks of ``block_of(longest)``; fewer where the text has no more.

    Args:
        store: the text.
        longest: tokens that each target has before it in its document, at least.
        count: how many targets are wanted.
        limit: only the first so many tokens of the store are read.

    Raises:
        DataError: no document has a block of targets after so many tokens, as far as it is read.
    """
    block, begins = block_of(longest), store.starts[:-1]
    ends = np.minimum(store.starts[1:], store.n_tokens if limit is None else limit)
    counts = np.maximum(ends - begins - longest, 0) // block
    total = int(counts.sum())
    if total == 0:
        raise DataError(
            f"of no document {longest + block:,} tokens are read, of which a context of {longest:,} is part. "
            "Give longer text, a larger --limit, or a smaller --context and --chunk."
        )
    wanted = min(total, -(-count // block))
    number = np.arange(wanted) * total // wanted
    document = np.searchsorted(counts.cumsum(), number, side="right")
    within = number - (counts.cumsum() - counts)[document]
    return Targets(first=begins[document] + longest + block * within, block=block)
