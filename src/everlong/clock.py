"""Where every token stands in its document: the one fact from which all visibility follows.

A model that asks "how far into this call am I?" gives another answer when the caller cuts the stream elsewhere. A model
that asks the clock cannot: a token's position counts from the beginning of its document, in its own lane, and the
memory carries the count from call to call. Segment grids, windows, compression blocks and resets are arithmetic on it.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from everlong.shapes import Lengths, Starts


@dataclass(frozen=True, kw_only=True)
class Clock:
    """The positions of one call. Padding counts as position 0 of a document of its own: it sees itself alone."""

    position: Int[Tensor, "b t"]
    """Index of each token in its document."""

    following: Int[Tensor, "b"]
    """Index that the next token of each lane will have: the memory's next ``position``."""

    before: Int[Tensor, "b"]
    """How many remembered tokens belong to the document of the lane's first token; 0 right after a reset."""

    lengths: Lengths | None
    """Real tokens in each lane; ``None`` when every lane is full."""

    resets: tuple[int, ...]
    """Chunk indices above 0 at which some lane begins a document, in order, without repeats."""

    @property
    def time(self) -> int:
        """Tokens in each lane of this chunk, padding included."""
        return self.position.shape[1]

    @property
    def valid(self) -> Bool[Tensor, "b t"] | None:
        """Which tokens are real; ``None`` when all are."""
        if self.lengths is None:
            return None
        return torch.arange(self.time, device=self.position.device) < self.lengths[:, None]


def tick(position: Int[Tensor, "b"], *, time: int, starts: Starts | None, lengths: Lengths | None) -> Clock:
    """The clock of a chunk of `time` tokens for lanes that have read `position` tokens of their documents."""
    index = torch.arange(time, device=position.device)
    if lengths is not None and bool((lengths == time).all()):
        lengths = None
    if starts is not None and lengths is not None:
        starts = starts & (index < lengths[:, None])
    resets: tuple[int, ...] = ()
    before = position
    counted = position[:, None] + index
    if starts is not None:
        began = torch.where(starts, index, -1).cummax(dim=1).values
        counted = torch.where(began >= 0, index - began, counted)
        before = torch.where(starts[:, 0], 0, position)
        resets = tuple(t for t in starts.any(dim=0).nonzero().flatten().tolist() if t > 0)
    if lengths is None:
        return Clock(position=counted, following=counted[:, -1] + 1, before=before, lengths=None, resets=resets)
    last = counted.gather(1, (lengths - 1).clamp(min=0)[:, None])[:, 0]
    following = torch.where(lengths > 0, last + 1, position)
    before = torch.where(lengths > 0, before, position)
    counted = torch.where(index < lengths[:, None], counted, 0)
    return Clock(position=counted, following=following, before=before, lengths=lengths, resets=resets)
