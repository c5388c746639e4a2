"""Layers of a controller, one step at a time: their backward pass is written out, so weights get theirs for a chunk.

    LSTM           a = x + W [below; h]    g = tanh(a_g)    i, f, o = s(a_i, a_f, a_o)
                   c' = f c + i g          h' = o tanh(c')
    feed-forward   h' = tanh(x + W below)

`x` is known before the chunk begins: the bias, and in the first layer the input's products. `below` are the
vectors read from memory at the step before, in the first layer, or the layer below.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

Cell = tuple[Tensor, ...]
Known = Float[Tensor, "*b g"]
Gates = Float[Tensor, "b g"]
Below = Float[Tensor, "b k"]
Out = Float[Tensor, "b d"]


class Layer(Protocol):
    """A layer's arithmetic; it has no weights of its own."""

    @property
    def gates(self) -> int:
        """Rows of the weights for each unit."""
        ...

    @property
    def is_recurrent(self) -> bool:
        """Whether it reads its own output of the step before, and has a state ``(h, c)``."""
        ...

    def step(self, x: Known, below: Below, cell: Cell, columns: Tensor) -> tuple[Out, Cell, Any]:
        """Output, next state, and what the backward pass needs, whose first entry is what the weights multiplied.

        `columns` are the weights, transposed.
        """
        ...

    def factors(self, kept: Sequence[Any]) -> Sequence[Any]:
        """What of the backward pass is known before it begins, for every step."""
        ...

    def back(self, factor: Any, d_out: Out, d_cell: Cell, weight: Tensor) -> tuple[Gates, Below, Cell]:
        """Gradients of `x`, of `below` and of the state before."""
        ...


@dataclass(frozen=True)
class LSTMLayer:
    """Long short-term memory; gates in the order g, i, f, o."""

    gates: int = 4
    is_recurrent: bool = True

    def step(self, x: Known, below: Below, cell: Cell, columns: Tensor) -> tuple[Out, Cell, Any]:
        """Output, next state, and what the backward pass needs."""
        h, c = cell
        seen = torch.cat([below, h], dim=1)
        gates = torch.addmm(x, seen, columns).view(len(h), 4, -1)
        gates[:, 0].tanh_()
        gates[:, 1:].sigmoid_()
        g, i, f, o = gates.unbind(1)
        after = (c * f).addcmul_(i, g)
        squashed = after.tanh()
        out = o * squashed
        return out, (out, after), (seen, gates, c, squashed)

    def factors(self, kept: Sequence[Any]) -> Sequence[Any]:
        """By step: what ``d_c`` and, for o, ``d_h`` are multiplied by in the gates; ``d_h`` in ``d_c``; and f."""
        gates, c, squashed = (torch.stack(part) for part in list(zip(*kept, strict=True))[1:])
        g, i, f, o = gates.unbind(2)
        slopes = torch.cat([i * (1 - g * g), g * i * (1 - i), c * f * (1 - f), squashed * o * (1 - o)], dim=2)
        return list(zip(slopes, o * (1 - squashed * squashed), f, strict=True))

    def back(self, factor: Any, d_out: Out, d_cell: Cell, weight: Tensor) -> tuple[Gates, Below, Cell]:
        """Gradients of the gates, of `below` and of the state before."""
        slopes, through, f = factor
        d_h = d_out + d_cell[0]
        d_c = torch.addcmul(d_cell[1], d_h, through)
        d_x = torch.cat([d_c, d_c, d_c, d_h], dim=1).mul_(slopes)
        d_below, d_before = torch.mm(d_x, weight).split([weight.shape[1] - d_h.shape[1], d_h.shape[1]], dim=1)
        return d_x, d_below, (d_before, d_c * f)


@dataclass(frozen=True)
class TanhLayer:
    """Feed-forward, without a state."""

    gates: int = 1
    is_recurrent: bool = False

    def step(self, x: Known, below: Below, cell: Cell, columns: Tensor) -> tuple[Out, Cell, Any]:
        """Output, no state, and what the backward pass needs."""
        out = torch.addmm(x, below, columns).tanh_()
        return out, cell, (below, out)

    def factors(self, kept: Sequence[Any]) -> Sequence[Any]:
        """By step: the slope of tanh."""
        out = torch.stack([out for _, out in kept])
        return (1 - out * out).unbind(0)

    def back(self, factor: Any, d_out: Out, d_cell: Cell, weight: Tensor) -> tuple[Gates, Below, Cell]:
        """Gradients of `x` and of `below`."""
        d_x = d_out * factor
        return d_x, d_x @ weight, d_cell
