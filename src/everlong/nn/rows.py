"""Documents written in rows of `stride` tokens, as one draws the Sparse Transformer's patterns on squared paper.

    row = position // stride          column = position mod stride

What a lane remembers is a ring of its most recent entries, and of every row that is finished some columns, on a shelf:
a ring whose entries come `width` at a time, when the last token of a row has been read. A chunk in which no row ends
leaves the shelf as it is, however many slots it has: that is what makes one more token of a stream cheap.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from everlong.clock import Clock
from everlong.nn.window import push


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The tokens of a chunk in the rows of their documents, and the rows that end in the chunk."""

    clock: Clock
    stride: int

    above: Int[Tensor, "b t"]
    """Rows of its document that lie above each token."""

    column: Int[Tensor, "b t"]
    """Tokens that lie before each token in its row."""

    ends: Int[Tensor, "b m"]
    """Chunk indices of the tokens that end a row, in order; after a lane's last one, of the chunk's last token."""

    counts: Int[Tensor, "b"]
    """How many rows each lane ends in this chunk."""

    done: Int[Tensor, "b t"]
    """How many rows its lane has ended in this chunk before each token."""

    def finished(self, line: Float[Tensor, "b s k"], columns: Int[Tensor, "w g"]) -> Float[Tensor, "b n k"]:
        """Entries of the rows that end in this chunk, row by row: of each, some columns, in order.

        Args:
            line: recent entries, back to where those rows begin, and the chunk's, head by head.
            columns: which columns; each of `g` groups of neighbouring heads has its own.
        """
        most = self.ends.shape[1]
        if most == 0:
            return line[:, :0]
        lanes, length, _ = line.shape
        width, groups = columns.shape
        begins = self.ends + length - self.clock.time - (self.stride - 1)
        one = begins[0, 0] + self.stride * torch.arange(most, device=line.device)
        if columns.shape == (self.stride, 1) and bool((begins == one).all()):
            return line[:, int(one[0]) : int(one[-1]) + self.stride]
        begins = begins + length * torch.arange(lanes, device=line.device)[:, None]
        place = (begins[:, :, None, None] + columns) * groups + torch.arange(groups, device=line.device)
        parts = line.reshape(lanes * length * groups, -1).index_select(0, place.flatten())
        return parts.view(lanes, most * width, line.shape[2])

    def shelve(
        self, shelf: Float[Tensor, "b l s k"], finished: Sequence[Float[Tensor, "b n k"]]
    ) -> Float[Tensor, "b l s k"]:
        """The shelf after the chunk: the last `s` entries of shelf and finished rows together, lane by lane."""
        most, slots, entries = self.ends.shape[1], shelf.shape[2], finished[0].shape[1]
        if entries == 0:
            return shelf
        even = bool((self.counts == most).all())
        ticks = replace(self.clock, lengths=None if even else self.counts * (entries // most))
        skip = max(0, entries - slots) if even else 0
        last = torch.stack([part[:, skip:] for part in finished], dim=1)
        return push(shelf, last.to(shelf.dtype), clock=ticks)


def in_rows(clock: Clock, stride: int) -> Rows:
    """The tokens of a chunk in rows."""
    column = clock.position % stride
    last = column == stride - 1
    if clock.valid is not None:
        last = last & clock.valid
    counts = last.sum(dim=1)
    done = last.cumsum(dim=1) - last.long()
    ends = torch.full((len(counts), int(counts.max())), clock.time - 1, device=column.device)
    lane, token = last.nonzero(as_tuple=True)
    ends[lane, done[lane, token]] = token
    above = clock.position // stride
    return Rows(clock=clock, stride=stride, above=above, column=column, ends=ends, counts=counts, done=done)


def pick(shelf: Float[Tensor, "b l s k"], index: Int[Tensor, "b n"]) -> Float[Tensor, "b l n k"]:
    """Slots of each lane's own choice, the same in all layers."""
    lanes, layers, slots, _ = shelf.shape
    first = torch.arange(lanes * layers, device=shelf.device).view(lanes, layers, 1) * slots
    place = first + index[:, None]
    return shelf.flatten(0, 2).index_select(0, place.flatten()).unflatten(0, place.shape)


def or_zero(past: Float[Tensor, "b l n k"], filled: Bool[Tensor, "b n"]) -> Float[Tensor, "b l n k"]:
    """Slots that the lane's document has filled, and zeros for the others: zero times a NaN is a NaN."""
    return past if bool(filled.all()) else torch.where(filled[:, None, :, None], past, 0)
