"""A GRU in both directions over stretches of different lengths.

    forth_i = GRU(x_i, forth_{i-1})          back_i = GRU'(x_i, back_{i+1})          h_i = [forth_i ; back_i]

The one that runs back begins at the last real item of a stretch: it reads stretches that were turned round before they
were padded, and what comes after their ends is never looked at.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from everlong.nn.scan import gru_layer, layer_weights, own_precision
from everlong.nn.stretches import Stretches, give, take


class BiGRU(nn.Module):
    """Layers of two GRUs each, of half the width. Weights are those of ``torch.nn.GRU(bidirectional=True)``."""

    def __init__(self, *, width: int, n_layers: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.cells = nn.GRU(width, width // 2, n_layers, bidirectional=True)

    def forward(self, line: Float[Tensor, "m d"], stretches: Stretches) -> Float[Tensor, "m d"]:
        """Hidden states of all items."""
        if not len(line):
            return line
        with own_precision(line):
            x = line.to(next(self.cells.parameters()).dtype)
            for n, (forth, back) in enumerate(list(pairwise(layer_weights(self.cells)))[::2]):
                x = F.dropout(x, self.dropout, self.training) if n else x
                x = torch.cat([_run(x, stretches, forth, back=False), _run(x, stretches, back, back=True)], dim=-1)
        return x


def _run(x: Float[Tensor, "m k"], stretches: Stretches, weights: tuple[Tensor, ...], *, back: bool) -> Tensor:
    w_ih, w_hh, b_ih, b_hh = weights

    def run(rows: Float[Tensor, "n t k"]) -> Float[Tensor, "n t e"]:
        return gru_layer(rows, x.new_zeros(len(rows), w_hh.shape[1]), w_ih, w_hh, b_ih, b_hh)

    buckets = ((b.backwards if back else b.items, b.real) for b in stretches.buckets)
    return give((items, real, run(take(x, items))) for items, real in buckets)
