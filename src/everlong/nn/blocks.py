"""Pieces that every Transformer shares."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from everlong.nn.pieces import feed_forward_in_pieces
from everlong.shapes import Hidden


class FeedForward(nn.Module):
    """Two linear maps with a nonlinear one between, position by position: ``W2 relu(W1 x + b1) + b2``.

    `activation` may write into what it is given. With `piece`, what is `d_ff` wide exists for that many tokens at a
    time, in the backward pass too, where it is computed once more; what makes a single piece is kept.
    """

    def __init__(
        self,
        *,
        d_model: int,
        d_ff: int,
        dropout: float,
        activation: Callable[[Tensor], Tensor] = torch.relu_,
        piece: int | None = None,
    ) -> None:
        super().__init__()
        self.up = nn.Linear(d_model, d_ff)
        self.down = nn.Linear(d_ff, d_model)
        self.dropout, self.activation, self.piece = dropout, activation, piece

    def forward(self, x: Hidden) -> Hidden:
        """The mapped hidden states."""
        # What a linear map makes of rows is no view, into which autograd would let nothing be written without copies.
        rows = x.flatten(0, 1)
        if self.piece is None or len(rows) <= self.piece:
            rows = self.down(F.dropout(self.activation(self.up(rows)), self.dropout, self.training))
        else:
            rows = feed_forward_in_pieces(
                rows,
                (self.up.weight, self.up.bias),
                (self.down.weight, self.down.bias),
                activation=self.activation,
                dropout=self.dropout if self.training else 0.0,
                piece=self.piece,
            )
        return F.dropout(rows.unflatten(0, x.shape[:2]), self.dropout, self.training)


def init_normal(module: nn.Module) -> None:
    """Weights of linear maps and embeddings drawn from N(0, 0.02^2), biases zero: for `nn.Module.apply`."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:  # pyright: ignore[reportUnnecessaryComparison]
        nn.init.zeros_(module.bias)
