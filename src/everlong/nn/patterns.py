"""The two patterns of the Sparse Transformer (Child et al., 2019, section 4.3): what is seen, and what must be kept.

Token `i` of a document sees `A1` and `A2`, as far as they lie in its own row of `l` tokens and in the `n` rows above:

    strided     A1 = { j : i - l < j <= i }                 A2 = { j <= i : (i - j) mod l = 0 }
    fixed       A1 = { j <= i : j // l = i // l }           A2 = { j <= i : j mod l >= l - c, or j = i }

Text and code of the paper differ by one in the strided `A1`: this is the code's, `l` tokens; the next one back is in
`A2` anyway. `A2` alone includes the token itself: the paper's fixed pattern leaves the first tokens of a document
nothing to see, and no softmax can take that.

What is near, a lane has in the ring of its recent entries; what is far, on the shelf of finished rows
(everlong.nn.rows). How both are laid out for a call, everlong.nn.strided and everlong.nn.fixed say.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from everlong.nn.rows import Rows
from everlong.nn.window import Sight

NEAR_QUERIES = 64
"""Neighbours that are worth computing together where each sees about as many."""

Kind = Literal["near", "far", "both"]
"""What a head sees: `A1`, `A2` or their union."""


Pair = tuple[Float[Tensor, "b _ _"], Float[Tensor, "b _ _"]]
"""Keys and values of some entries, head by head."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """Keys and values, and who sees what of them."""

    entries: Pair
    sight: Sight


def behind(past: Pair, entries: Pair) -> Pair:
    """What a lane remembers, and then new entries."""
    keys, values = (_behind(old, new) for old, new in zip(past, entries, strict=True))
    return keys, values


def _behind(past: Float[Tensor, "b s k"], entries: Float[Tensor, "b t k"]) -> Float[Tensor, "b u k"]:
    past = past.to(entries.dtype)
    if past.shape[1] == 0 or entries.shape[1] == 0:
        return past if entries.shape[1] == 0 else entries
    return torch.cat([past, entries], dim=1)


@dataclass(frozen=True, kw_only=True)
class Pattern(ABC):
    """Sizes of a pattern, and what follows from them."""

    stride: int
    above: int
    """Rows above its own that a token sees."""

    @property
    @abstractmethod
    def ring(self) -> int:
        """Recent entries to keep."""

    @property
    @abstractmethod
    def shelf(self) -> int:
        """Entries of finished rows to keep."""

    @property
    @abstractmethod
    def columns(self) -> Int[Tensor, "w g"]:
        """Columns of a row that go on the shelf; each of `g` groups of neighbouring heads has its own."""

    @abstractmethod
    def oldest(self, position: int, kind: Kind) -> int:
        """The oldest position that the token at a position sees."""

    @abstractmethod
    def view(self, rows: Rows, *, kinds: Collection[Kind]) -> "View":
        """What a call sees that has heads of these kinds."""


class View(ABC):
    """What the tokens of a call see, and what they leave on the shelf."""

    ring: Sight
    """What of ring and chunk anyone sees, or leaves on the shelf."""

    def __init__(self, pattern: Pattern, rows: Rows) -> None:
        self._pattern, self._rows = pattern, rows
        self._columns = pattern.columns.to(rows.column.device)

    @abstractmethod
    def past(self, shelf: Float[Tensor, "b l s k"]) -> Float[Tensor, "b l n k"]:
        """What of the shelf anyone sees, in all layers that have one."""

    @abstractmethod
    def lines(self, kind: Kind, line: Pair, past: Pair | None, finished: Pair | None) -> list[Line]:
        """The lines that share a softmax, for heads of one kind.

        Args:
            kind: what the heads see.
            line: ring and chunk.
            past: what `past` gave for the layer; heads that see only what is near need nothing of it.
            finished: what `finished` gave for the layer; likewise.
        """

    def finished(self, line: Float[Tensor, "b s k"]) -> Float[Tensor, "b m k"]:
        """Keys or values that the rows that end in the chunk leave on a layer's shelf; the line is ring and chunk."""
        if self._pattern.shelf == 0:
            return line[:, :0]
        return self._rows.finished(line, self._columns)
