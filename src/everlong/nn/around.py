"""Who sees what in a text that is read from both sides: a band around every token, and tokens that all see.

band of t        { t + i d : -side <= i <= side },  less the global tokens
global tokens    seen by every token in the same softmax as the band, each once
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from everlong.clock import Clock
from everlong.nn.pins import ROWS
from everlong.nn.window import Block, Sight


def look_around(
    clock: Clock,
    *,
    side: int,
    block: int,
    dilation: int = 1,
    heads: slice | None = None,
    absent: Bool[Tensor, "b t"] | None = None,
) -> Sight:
    """Plan the attention of a text in which every token sees itself and `side` others to each side.

    Each block of queries gets only its stretch of keys. Blocks whose keys are all there share one mask.

    Args:
        clock: the text. No token sees padding, and padding sees itself.
        side: tokens seen to one side.
        block: queries computed together.
        dilation: how many tokens apart those are.
        heads: the heads that look this way; ``None`` for all.
        absent: tokens that others do not see here, since they see them elsewhere.
    """
    time, lanes, device = clock.time, len(clock.position), clock.position.device
    hidden = torch.zeros_like(clock.position, dtype=torch.bool) if absent is None else absent
    hidden = (hidden if clock.valid is None else hidden | ~clock.valid).cpu()
    index, reach = torch.arange(time), side * dilation
    blocks: list[Block] = []
    alike: dict[tuple[int, int, int], Tensor] = {}
    for residue in range(min(dilation, time)):
        for at in range(residue, time, block * dilation):
            queries = slice(at, min(at + block * dilation, time), dilation)
            last = int(index[queries][-1])
            keys = slice(max(residue, at - reach), min(last + reach + 1, time), dilation)
            distance = index[keys] - index[queries][:, None]
            near, gone = distance.abs() <= reach, hidden[:, None, keys]
            if bool(gone.any()):
                gone = gone[:1] if bool((gone == gone[:1]).all()) else gone
                visible = (near & (~gone | (distance == 0))).to(device).expand(lanes, -1, -1)
            else:
                form = (near.shape[0], near.shape[1], at - keys.start)
                visible = alike.setdefault(form, near.to(device)[None].expand(lanes, -1, -1))
            blocks.append(Block(queries=queries, keys=keys, visible=visible, heads=heads))
    return Sight(capacity=0, oldest=0, blocks=tuple(blocks))


def one_after_another(sights: Sequence[Sight], texts: Sequence[int]) -> Sight:
    """One plan for texts of these lengths that stand behind one another, each of which has its own."""
    begins = accumulate(texts[:-1], initial=0)
    blocks = [block for sight, at in zip(sights, begins, strict=True) for block in sight.shifted(at).blocks]
    return Sight(capacity=0, oldest=0, blocks=tuple(blocks))


@dataclass(frozen=True)
class GlobalTokens:
    """Tokens that see all and are seen by all, drawn together: as many places a lane as the lane with most has."""

    mask: Bool[Tensor, "b t"]
    texts: Sequence[int] | None = None
    """Lengths of the texts that stand behind one another in the only lane; ``None`` where each lane is one text."""

    @cached_property
    def index(self) -> Int[Tensor, "b g"]:
        """Where they stand in the text. A lane with fewer has other tokens in the places behind its own."""
        first = self.mask.to(torch.uint8).argsort(dim=1, descending=True, stable=True)
        return first[:, : int(self.mask.sum(dim=1).max())]

    @cached_property
    def counts(self) -> list[int]:
        """How many each text has, where texts stand behind one another."""
        assert self.texts is not None
        return [int(part.sum()) for part in self.mask[0].split(list(self.texts))]

    @cached_property
    def sight(self) -> Sight:
        """Every token sees the global tokens of its text."""
        if self.texts is not None:
            return self._sight_of_texts(self.texts)
        lanes, time = self.mask.shape
        places = self.index.shape[1]
        real = self.mask.gather(1, self.index)[:, None]
        if bool(real.all()):
            real = real[:1]
        whole = real.expand(lanes, min(ROWS, time), -1)
        spans = (slice(at, min(at + ROWS, time)) for at in range(0, time, ROWS))
        blocks = [
            Block(queries=span, keys=slice(0, places), visible=whole[:, : span.stop - span.start]) for span in spans
        ]
        return Sight(capacity=0, oldest=0, blocks=tuple(blocks))

    def _sight_of_texts(self, texts: Sequence[int]) -> Sight:
        blocks: list[Block] = []
        begins, firsts = (accumulate(lengths[:-1], initial=0) for lengths in (texts, self.counts))
        for begin, length, first, count in zip(begins, texts, firsts, self.counts, strict=True):
            whole = self.mask.new_ones(1, min(ROWS, length), count)
            blocks += (
                Block(
                    queries=slice(begin + at, begin + min(at + ROWS, length)),
                    keys=slice(first, first + count),
                    visible=whole[:, : min(ROWS, length - at)],
                )
                for at in range(0, length if count else 0, ROWS)
            )
        return Sight(capacity=0, oldest=0, blocks=tuple(blocks))

    def drawn(self, x: Float[Tensor, "b t *k"]) -> Float[Tensor, "b g *k"]:
        """What belongs to them, out of what belongs to all tokens."""
        return x[torch.arange(len(x), device=x.device)[:, None], self.index]

    def put(self, x: Float[Tensor, "b t *k"], theirs: Float[Tensor, "b g *k"]) -> Float[Tensor, "b t *k"]:
        """All tokens' with theirs instead where they stand."""
        lane, at = self.mask.nonzero(as_tuple=True)
        return x.index_put((lane, at), theirs[lane, self.mask.cumsum(dim=1)[lane, at] - 1])
