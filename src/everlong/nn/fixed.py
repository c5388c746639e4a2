"""The fixed pattern: near is the token's row so far, far the summary columns of the rows above.

Of most rows only the summaries are kept, so they stand on a line of their own, row by row:

    [ ring: the row so far ][ chunk ]        [ summaries from the shelf ][ summaries of rows that end in the chunk ]
"""

from collections.abc import Collection
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from everlong.nn.patterns import NEAR_QUERIES, Kind, Line, Pair, Pattern, View, behind
from everlong.nn.rows import Rows, or_zero
from everlong.nn.strides import look_above, moved, only_columns
from everlong.nn.window import Block, Sight, look_back


@dataclass(frozen=True, kw_only=True)
class Fixed(Pattern):
    """`A2` are summary columns: for head `h` sub-block ``h mod sub_blocks`` of them, counted from the row's end."""

    summary: int
    """Columns of a sub-block."""

    sub_blocks: int
    heads: int
    """How many heads look far."""

    @property
    def ring(self) -> int:
        """Recent entries to keep: a row."""
        return self.stride

    @property
    def shelf(self) -> int:
        """Entries of finished rows to keep."""
        return self.above * self.summary

    @property
    def first_columns(self) -> list[int]:
        """Where the sub-block begins of each head that looks far."""
        return [self.stride - (head % self.sub_blocks + 1) * self.summary for head in range(self.heads)]

    @property
    def columns(self) -> Int[Tensor, "w h"]:
        """The columns of its sub-block, for each head."""
        return torch.arange(self.summary)[:, None] + torch.tensor(self.first_columns)

    def oldest(self, position: int, kind: Kind) -> int:
        """The oldest position that the token at a position sees."""
        row, column = divmod(position, self.stride)
        first = min(self.first_columns)
        near = position - column
        far = (row - self.above) * self.stride + first if self.above else near + min(column, first)
        return {"near": near, "far": far, "both": min(near, far)}[kind]

    def view(self, rows: Rows, *, kinds: Collection[Kind]) -> View:
        """What a call sees that has heads of these kinds."""
        return FixedView(self, rows, kinds=kinds)


class FixedView(View):
    """The line of the ring, and the line of summaries from the first on that anyone sees."""

    def __init__(self, pattern: Fixed, rows: Rows, *, kinds: Collection[Kind]) -> None:
        super().__init__(pattern, rows)
        self._pattern = pattern
        self.ring = look_back(rows.clock, rows.column, capacity=pattern.stride, block=NEAR_QUERIES)
        self._near: dict[Kind, Sight] = {"near": self.ring, "both": self.ring}
        if "far" in kinds:
            self._near["far"] = self._beside()
        above = look_above(rows, farthest=pattern.above, width=pattern.summary)
        self._first = min([pattern.shelf, *(block.keys.start for block in above)])
        self._above = Sight(capacity=0, oldest=0, blocks=tuple(moved(above, -self._first)))

    def past(self, shelf: Float[Tensor, "b l s k"]) -> Float[Tensor, "b l n k"]:
        """The summaries from the first on that anyone sees."""
        slots = self._pattern.shelf
        filled = self._rows.clock.before[:, None] // self._pattern.stride * self._pattern.summary
        slot = torch.arange(self._first, slots, device=shelf.device)
        return or_zero(shelf[:, :, self._first :], slot >= slots - filled)

    def lines(self, kind: Kind, line: Pair, past: Pair | None, finished: Pair | None) -> list[Line]:
        """The line of the ring, and that of the summaries if there are any to see."""
        lines = [Line(entries=line, sight=self._near[kind])]
        if kind != "near" and past is not None and finished is not None and self._above.blocks:
            lines.append(Line(entries=behind(past, finished), sight=self._above))
        return lines

    def _beside(self) -> Sight:
        """The summaries of the token's own row so far, and the token itself."""
        p = self._pattern
        blocks: list[Block] = []
        for head, first in enumerate(p.first_columns[: p.sub_blocks]):
            heads = slice(head, p.heads, p.sub_blocks)
            blocks += only_columns(self.ring, self._rows, range(first, first + p.summary), heads=heads)
        return Sight(capacity=0, oldest=0, blocks=tuple(blocks))
