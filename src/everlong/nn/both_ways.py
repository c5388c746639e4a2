"""A GRU or an LSTM in both directions over stretches of different lengths.

    forth_i = cell(x_i, forth_{i-1})         back_i = cell'(x_i, back_{i+1})         h_i = [forth_i ; back_i]

The one that runs back begins at the last real item of a stretch: it reads stretches that were turned round before they
were padded, and what comes after their ends is never looked at.
"""

from abc import ABC, abstractmethod
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from everlong.nn.scan import gru_layer, layer_weights, own_precision
from everlong.nn.stretches import Stretches, give, take

Weights = tuple[Tensor, ...]
"""Of one direction of a layer: of the input and of the state, then the biases of both."""


class BothWays(nn.Module, ABC):
    """Layers of two recurrent cells each, of half the width; the weights are those of `cells`."""

    def __init__(self, cells: nn.RNNBase, *, dropout: float) -> None:
        super().__init__()
        self.cells, self.dropout = cells, dropout

    @abstractmethod
    def run(self, rows: Float[Tensor, "n t k"], weights: Weights) -> Float[Tensor, "n t e"]:
        """The states of one direction of a layer, first to last, of rows of equal length."""

    def forward(self, line: Float[Tensor, "m d"], stretches: Stretches) -> Float[Tensor, "m d"]:
        """Hidden states of all items."""
        if not len(line):
            return line
        with own_precision(line):
            x = line.to(next(self.cells.parameters()).dtype)
            for n, (forth, back) in enumerate(list(pairwise(layer_weights(self.cells)))[::2]):
                x = F.dropout(x, self.dropout, self.training) if n else x
                x = torch.cat([self._one_way(x, stretches, *way) for way in ((forth, False), (back, True))], dim=-1)
        return x

    def _one_way(
        self, x: Float[Tensor, "m k"], stretches: Stretches, weights: Weights, back: bool
    ) -> Float[Tensor, "m e"]:
        buckets = ((b.backwards if back else b.items, b.real) for b in stretches.buckets)
        return give((items, real, self.run(take(x, items), weights)) for items, real in buckets)


class BiGRU(BothWays):
    """Weights are those of ``torch.nn.GRU(bidirectional=True)``."""

    def __init__(self, *, width: int, n_layers: int, dropout: float) -> None:
        super().__init__(nn.GRU(width, width // 2, n_layers, bidirectional=True), dropout=dropout)

    def run(self, rows: Float[Tensor, "n t k"], weights: Weights) -> Float[Tensor, "n t e"]:
        """The states of one direction of a layer."""
        w_ih, w_hh, b_ih, b_hh = weights
        return gru_layer(rows, rows.new_zeros(len(rows), w_hh.shape[1]), w_ih, w_hh, b_ih, b_hh)


class BiLSTM(BothWays):
    """Weights are those of ``torch.nn.LSTM(bidirectional=True)``."""

    def __init__(self, *, width: int, n_layers: int, dropout: float) -> None:
        super().__init__(nn.LSTM(width, width // 2, n_layers, bidirectional=True), dropout=dropout)

    def run(self, rows: Float[Tensor, "n t k"], weights: Weights) -> Float[Tensor, "n t e"]:
        """The states of one direction of a layer, by the library's kernel for one layer."""
        zero = rows.new_zeros(1, len(rows), weights[1].shape[1])
        return torch.lstm(rows, (zero, zero), weights, True, 1, 0.0, self.training, False, True)[0]
