"""Texts in sections: sentences, paragraphs, or pieces of equal length.

The real tokens of all texts stand on one line, section after section and text after text; so do the sections, and what
is learned about each. `everlong.nn.stretches` computes with both.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from everlong.clock import Clock
from everlong.nn.stretches import Stretches


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the tokens of a call are on the line."""

    shape: tuple[int, int]
    """Lanes and time of the call."""

    rows: Int[Tensor, "m"]
    """The place of each item of the line among the tokens of all lanes."""

    tokens: Stretches
    """The tokens of each section."""

    sections: Stretches
    """The sections of each text; none of an empty one."""

    def drawn(self, x: Shaped[Tensor, "b t *k"]) -> Shaped[Tensor, "m *k"]:
        """What belongs to real tokens, on the line."""
        return x.flatten(0, 1).index_select(0, self.rows)

    def put(self, line: Shaped[Tensor, "m *k"]) -> Shaped[Tensor, "b t *k"]:
        """What is on the line, where it belongs in the call; 0 at padding."""
        lanes, time = self.shape
        empty = line.new_zeros(lanes * time, *line.shape[1:])
        return empty.index_copy(0, self.rows, line).unflatten(0, self.shape)


def in_sections(begins: Bool[Tensor, "b t"], clock: Clock) -> Layout:
    """The layout of texts whose sections begin with these real tokens; a text's first token does begin one."""
    real = torch.ones_like(begins) if clock.valid is None else clock.valid
    number = begins[real].cumsum(dim=0) - 1
    counts = begins.sum(dim=1)
    return Layout(
        shape=(begins.shape[0], begins.shape[1]),
        rows=real.flatten().nonzero()[:, 0],
        tokens=Stretches(torch.bincount(number, minlength=int(counts.sum()))),
        sections=Stretches(counts),
    )


def even_sections(clock: Clock, length: int) -> Bool[Tensor, "b t"]:
    """Where sections of so many tokens begin."""
    begins = clock.position % length == 0
    return begins if clock.valid is None else begins & clock.valid
