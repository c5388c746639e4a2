"""Who sees what in the Sparse Transformer's patterns, as blocks: up a column, and all of the rows above.

Rows and columns are those of everlong.nn.rows. A column's tokens are `stride` apart on the line, in queries and keys,
and columns side by side are computed together; what is visible is then a band or a staircase, and small.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from everlong.clock import Clock
from everlong.nn.rows import Rows
from everlong.nn.window import Block, Sight

COLUMN_QUERIES = 32
"""Tokens of one column that are worth computing together."""

SIDES = 32
"""Columns side by side that are worth computing together."""

ROW_QUERIES = 128
"""Neighbours that are worth computing together where all see the same entries of the rows above."""


def look_up(
    clock: Clock, *, stride: int, nearest: int, farthest: int, row: int, rows: range, width: int
) -> list[Block]:
    """Each token sees those `nearest` to `farthest` rows above it in its own column; 0 is itself.

    Args:
        clock: the chunk.
        stride: columns of a row.
        nearest: rows up to the first token that is seen.
        farthest: rows up to the last one, where the document has as many.
        row: the row in which the chunk begins, in its first column.
        rows: those that are on the line; what others hold is not seen.
        width: columns of the line; as many as the stride, unless the chunk has fewer tokens and they see only the past.
    """
    time, ups = clock.time, (clock.position // stride).clamp(max=farthest).cpu()
    masks = Masks(clock.position.device)
    whole, most = time // stride * stride, COLUMN_QUERIES * stride
    spans = [(begin, min(begin + most, whole), stride) for begin in range(0, whole, most)]
    blocks: list[Block] = []
    for begin, end, columns in [*spans, (whole, time, time - whole)]:
        if columns == 0:
            continue
        up = ups[:, begin:end].unflatten(1, (-1, columns))
        here = row + begin // stride + torch.arange(up.shape[1])
        for lane, first, ours in _sides(up):
            tops = (here - ours).clamp(min=rows.start)
            bottoms = (here - nearest).clamp(max=rows.stop - 1).expand_as(ours)
            sees = tops <= bottoms
            if not bool(sees.any()):
                continue
            low, high = int(tops[sees].min()), int(bottoms[sees].max())
            there = torch.arange(low, high + 1)
            start = (low - rows.start) * width + first
            block = Block(
                queries=slice(begin + first, end - columns + first + 1, stride),
                keys=slice(start, start + (high - low) * width + 1, width),
                visible=masks.shared((there >= tops[..., None]) & (there <= bottoms[..., None])),
                lane=lane,
                phases=1 if lane is None else len(ours),
            )
            blocks.append(block)
    return blocks


def _sides(up: Int[Tensor, "b r c"]) -> Iterator[tuple[int | None, int, Int[Tensor, "n r"]]]:
    """Columns to compute side by side, as lane, first column, and what they see; a single column, with all lanes."""
    if up.shape[2] == 1:
        yield None, 0, up[..., 0]
        return
    for lane, columns in enumerate(up.mT):
        for first in range(0, len(columns), SIDES):
            yield lane, first, columns[first : first + SIDES]


def look_above(rows: Rows, *, farthest: int, width: int) -> list[Block]:
    """Each token sees all that is kept, `width` entries a row, of the `farthest` rows above its own.

    The line is what is kept of so many rows before the chunk, and then of the rows that end in the chunk.
    """
    stop = (rows.done + farthest).cpu() * width
    first = stop - rows.above.clamp(max=farthest).cpu() * width
    masks = Masks(rows.above.device)
    blocks: list[Block] = []
    for begin in range(0, rows.clock.time, ROW_QUERIES):
        queries = slice(begin, min(begin + ROW_QUERIES, rows.clock.time), 1)
        ours, stops = first[:, queries], stop[:, queries]
        sees = ours < stops
        if not bool(sees.any()):
            continue
        keys = slice(int(ours[sees].min()), int(stops[sees].max()), 1)
        slot = torch.arange(keys.start, keys.stop)
        seen = (slot >= ours[..., None]) & (slot < stops[..., None])
        blocks.append(Block(queries=queries, keys=keys, visible=masks.shared(seen)))
    return blocks


def only_columns(near: Sight, rows: Rows, columns: range, *, heads: slice) -> list[Block]:
    """The blocks of a plan for the ring, with nothing visible but some columns of a token's own row, and itself."""
    masks = Masks(rows.column.device)
    blocks: list[Block] = []
    for block in near.blocks:
        token = torch.arange(rows.clock.time)[block.queries]
        entry = torch.arange(block.keys.start, block.keys.stop) + near.oldest - near.capacity
        back = token[:, None] - entry
        column = rows.column[:, block.queries, None].cpu() - back
        seen = (back > 0) & (column >= columns.start) & (column < columns.stop) | (back == 0)
        blocks.append(replace(block, visible=masks.shared(seen), heads=heads))
    return blocks


def moved(blocks: Sequence[Block], places: int) -> list[Block]:
    """The same blocks for a line with so many more entries in front."""
    return list(Sight(capacity=0, oldest=0, blocks=tuple(blocks)).moved(places).blocks)


class Masks:
    """Masks as attention likes them: what looks alike is one tensor, and lanes that see the same share one mask."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._known: list[tuple[Tensor, Tensor]] = []

    def shared(self, seen: Bool[Tensor, "b t s"]) -> Bool[Tensor, "b t s"]:
        """The mask, or one made earlier that shows the same."""
        for known, shared in self._known:
            if torch.equal(known, seen):
                return shared
        one = seen[:1] if bool((seen == seen[:1]).all()) else seen
        shared = one.to(self._device).expand_as(seen)
        self._known.append((seen, shared))
        return shared
