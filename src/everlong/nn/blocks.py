"""Pieces that every Transformer shares."""

import torch.nn.functional as F
from torch import nn

from everlong.shapes import Hidden


class FeedForward(nn.Module):
    """Two linear maps with a rectifier between, position by position: ``W2 relu(W1 x + b1) + b2``."""

    def __init__(self, *, d_model: int, d_ff: int, dropout: float) -> None:
        super().__init__()
        self.up = nn.Linear(d_model, d_ff)
        self.down = nn.Linear(d_ff, d_model)
        self.dropout = dropout

    def forward(self, x: Hidden) -> Hidden:
        """The mapped hidden states."""
        x = F.dropout(F.relu(self.up(x), inplace=True), self.dropout, self.training)
        return F.dropout(self.down(x), self.dropout, self.training)
