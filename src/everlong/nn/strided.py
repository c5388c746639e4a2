"""The strided pattern: near is the last row's worth of tokens, far the token's own column.

Both are differences of positions, so all that a token sees is on one line, in the order of the text. Of the rows that
come from the shelf, the line has only the columns that the chunk can meet: for a token alone, one entry a row.

    [ rows from the shelf ][ ring: one row ][ chunk ]
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from everlong.nn.patterns import NEAR_QUERIES, Kind, Line, Pair, Pattern, View, behind
from everlong.nn.rows import Rows, or_zero, pick
from everlong.nn.strides import look_up, moved
from everlong.nn.window import Block, Sight, look_back


class Strided(Pattern):
    """`A2` is the token's own column."""

    @property
    def ring(self) -> int:
        """Recent entries to keep: the token itself, and all up to the one right above it."""
        return self.stride + 1

    @property
    def shelf(self) -> int:
        """Entries of finished rows to keep; all that is seen of one row up is in the ring."""
        return self.above * self.stride if self.above > 1 else 0

    @property
    def columns(self) -> Int[Tensor, "w 1"]:
        """All columns of a row, for all heads."""
        return torch.arange(self.stride)[:, None]

    def oldest(self, position: int, kind: Kind) -> int:
        """The oldest position that the token at a position sees."""
        near, far = self.stride - 1, self.above * self.stride
        return position - {"near": near, "far": far, "both": max(near, far)}[kind]

    def view(self, rows: Rows, *, kinds: Collection[Kind]) -> View:
        """What a call sees that has heads of these kinds."""
        return StridedView(self, rows, kinds=kinds)


class StridedView(View):
    """Ring and chunk on one line, what the shelf brings on another; for a token alone they are joined."""

    def __init__(self, pattern: Strided, rows: Rows, *, kinds: Collection[Kind]) -> None:
        super().__init__(pattern, rows)
        stride, time = pattern.stride, rows.clock.time
        seen = self._look_back(stride if pattern.above else stride - 1)
        # Columns are computed side by side: the ring brings a whole row, or at the beginning of documents none.
        oldest = 1 if seen.oldest < pattern.ring else pattern.ring
        self.ring = replace(seen.moved(seen.oldest - oldest), oldest=oldest)
        self._lacking, self._width = oldest - 1, min(time, stride)
        self._slots = max(0, pattern.above - 1) * self._width
        self._sights: dict[Kind, Sight] = {}
        alone: list[Block] = []
        above: list[Block] = []
        if "near" in kinds:
            near = self._look_back(stride - 1)
            self._sights["near"] = near.moved(near.oldest - oldest)
        if "far" in kinds:
            self._sights["far"] = _plan(self._look_up(nearest=0))
        if "both" in kinds and time == 1:
            alone = [self._alone()]
        elif "both" in kinds:
            self._sights["both"] = _plan(self.ring.blocks, self._look_up(nearest=2))
        if {"far", "both"} & self._sights.keys():
            above = self._look_up_shelf()
        self._past = max([0, *(-block.keys.start for block in (*alone, *above))])
        if alone:
            self._sights["both"] = _plan(moved(alone, self._past))
        self._above = _plan(moved(above, self._past))

    def past(self, shelf: Float[Tensor, "b l s k"]) -> Float[Tensor, "b l n k"]:
        """Of every row the columns that the chunk meets, counted from where in its row a lane's chunk begins."""
        if self._past == 0:
            return shelf[:, :, :0]
        stride, before = self._pattern.stride, self._rows.clock.before[:, None]
        slot = torch.arange(self._slots - self._past, self._slots, device=shelf.device)
        row, column = slot // self._width, slot % self._width
        if self._width == stride and not bool((before % stride).any()):
            entries = shelf[:, :, self._slots - self._past : self._slots]
        else:
            entries = pick(shelf, row * stride + column + before % stride)
        return or_zero(entries, (self._pattern.above - row) * stride - column <= before)

    def lines(self, kind: Kind, line: Pair, past: Pair | None, finished: Pair | None) -> list[Line]:
        """The line of the text, and that of the shelf if there is anything to see."""
        del finished
        if kind == "near" or past is None or not self._past:
            return [Line(entries=line, sight=self._sights[kind])]
        if not self._above.blocks:
            return [Line(entries=behind(past, line), sight=self._sights[kind])]
        past = (past[0].to(line[0].dtype), past[1].to(line[1].dtype))
        return [Line(entries=line, sight=self._sights[kind]), Line(entries=past, sight=self._above)]

    def _look_back(self, reach: int) -> Sight:
        reaches = torch.full_like(self._rows.column, reach)
        return look_back(self._rows.clock, reaches, capacity=self._pattern.ring, block=NEAR_QUERIES)

    def _look_up(self, *, nearest: int) -> list[Block]:
        """What of the column is in ring and chunk; the row of the ring is row 0."""
        stride, above = self._pattern.stride, self._pattern.above
        rows = range(1 + self._rows.clock.time)
        blocks = look_up(
            self._rows.clock, stride=stride, nearest=nearest, farthest=above, row=1, rows=rows, width=stride
        )
        return moved(blocks, -self._lacking)

    def _look_up_shelf(self) -> list[Block]:
        """What of it is on the shelf, in entries before the row of the ring."""
        stride, above = self._pattern.stride, self._pattern.above
        rows, width = range(1 - above, 0), self._width
        blocks = look_up(self._rows.clock, stride=stride, nearest=2, farthest=above, row=1, rows=rows, width=width)
        return moved(blocks, -self._slots)

    def _alone(self) -> Block:
        """All that a token alone sees, near and far: the shelf brings one entry a row, right before the ring."""
        stride, reach = self._pattern.stride, -self._pattern.oldest(0, "both")
        sees = self._rows.clock.position.clamp(max=reach)
        past, chunk = max(0, int(sees.max()) // stride - 1), stride - self._lacking
        entry = torch.arange(-past, chunk + 1, device=sees.device)
        distance = torch.where(entry < 0, (1 - entry) * stride, chunk - entry)
        seen = distance <= sees[..., None]
        return Block(
            queries=slice(0, 1, 1),
            keys=slice(-past, chunk + 1, 1),
            visible=None if bool(seen.all()) else seen,
        )


def _plan(blocks: Sequence[Block], overlaps: Sequence[Block] = ()) -> Sight:
    """A plan for a line that is not counted from a ring, some blocks of which share queries with the others."""
    return Sight(capacity=0, oldest=0, blocks=(*blocks, *overlaps), overlaps=len(overlaps))
