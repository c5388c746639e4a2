"""Axial positions (Kitaev et al., 2020, section 5): a learned vector for every position of a very long document.

    E[i] = [ E1[i mod L1] ; E2[i div L1 mod L2] ]

Two tables of `L1` and `L2` rows stand for `L1 L2` positions. Beyond those the count begins anew: positions `L1 L2`
apart get the same vector, so no document is too long.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class AxialPositions(nn.Module):
    """Learned encodings of positions, read as numbers of two digits.

    Args:
        shape: how many values the low and the high digit have (L1, L2).
        widths: sizes of their vectors, which stand side by side (d1, d2).
    """

    def __init__(self, *, shape: tuple[int, int], widths: tuple[int, int]) -> None:
        super().__init__()
        self.low = nn.Embedding(shape[0], widths[0])
        self.high = nn.Embedding(shape[1], widths[1])

    def forward(self, position: Int[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        """Encodings of indices in documents, of any size."""
        low, high = self.low.num_embeddings, self.high.num_embeddings
        digits = position % low, position.div(low, rounding_mode="floor") % high
        return torch.cat([self.low(digits[0]), self.high(digits[1])], dim=-1)
