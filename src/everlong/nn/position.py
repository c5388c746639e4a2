"""Encodings of distance and of index.

Those that follow from a formula are tabulated in float64 and kept: they are constants of a model's life.
"""

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class LearnedPositions(nn.Embedding):
    """A vector for every position, learned, from the first token of a text on; a longer text meets them again."""

    def added_to(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Vectors of tokens with those of their positions."""
        return x + self(torch.arange(x.shape[1], device=x.device) % self.num_embeddings)


class Sinusoids(nn.Module):
    """Encodings of distances, descending to 0: all sines, then all cosines, not interleaved (Dai et al., 2019).

    Args:
        width: size of an encoding, even.
        clamp: distances above this one are encoded like it; 0 for none.
    """

    def __init__(self, *, width: int, clamp: int) -> None:
        super().__init__()
        self.width, self.clamp = width, clamp
        self._table = torch.empty(0, width)

    def forward(self, count: int, *, like: Tensor) -> Float[Tensor, "s d"]:
        """Encodings of the distances ``count - 1`` down to 0, in the type and on the device of `like`."""
        table = self._table
        if len(table) < count or table.dtype != like.dtype or table.device != like.device:
            # A table made while generating must serve training as well.
            with torch.inference_mode(False):
                distance = torch.arange(max(count, len(table)) - 1, -1, -1, device=like.device, dtype=torch.float64)
                if self.clamp > 0:
                    distance = distance.clamp(max=self.clamp)
                angle = distance[:, None] * _speeds(self.width, base=10000.0, like=like)
                self._table = table = torch.cat([angle.sin(), angle.cos()], dim=-1).to(like.dtype)
        return table[len(table) - count :]


def sinusoids(index: Int[Tensor, "#b t"], *, width: int, like: Tensor) -> Float[Tensor, "#b t d"]:
    """Encodings of positions (Vaswani et al., 2017, section 3.5): sines and cosines of falling speed, in turn.

    Computed in float64, so that they are exact to 1e-7 for the first billion positions.

    Args:
        index: any positions.
        width: of an encoding, even.
        like: says the type.
    """
    angle = index[..., None] * _speeds(width, base=10000.0, like=like)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(-2).to(like.dtype)


class Rotary(nn.Module):
    """Rotary position embedding (Su et al., 2021, eq. 34): turns each pair of coordinates by an angle of its index.

    Coordinates `i` and ``i + e/2`` form a pair. Scores of rotated queries and keys depend on differences of indices
    alone, so any index origin will do; the line's own keeps every angle small, however long the stream.

    Args:
        width: size of a head, even.
        base: the slowest pair turns by about ``1 / base`` per token.
        period: if given, speeds are rounded so that every pair turns a whole number of times in so many tokens.
            Vectors can then be kept as they were turned, in a stream of any length: indices are equal modulo `period`.
    """

    def __init__(self, *, width: int, base: float, period: int | None = None) -> None:
        super().__init__()
        self.width, self.base, self.period = width, base, period
        self._turn = torch.empty(0, 2, width // 2)

    def angles(self, count: int, *, like: Tensor) -> Float[Tensor, "s 2 f"]:
        """Cosines and sines of the indices 0 to ``count - 1``, in the type and on the device of `like`."""
        turn = self._turn
        if len(turn) < count or turn.dtype != like.dtype or turn.device != like.device:
            # A table made while generating must serve training as well.
            with torch.inference_mode(False):
                index = torch.arange(max(count, len(turn)), device=like.device, dtype=torch.float64)
                angle = index[:, None] * self._speeds(like)
                self._turn = turn = torch.stack([angle.cos(), angle.sin()], dim=1).to(like.dtype)
        return turn[:count]

    def angles_of(self, index: Int[Tensor, "b s"], *, like: Tensor) -> Float[Tensor, "b s 2 f"]:
        """Cosines and sines of any indices, made anew: in float64 they are exact to 1e-7 for the first billion."""
        if self.period is not None:
            index = index % self.period
        angle = index[..., None] * self._speeds(like)
        return torch.stack([angle.cos(), angle.sin()], dim=-2).to(like.dtype)

    def forward(self, x: Float[Tensor, "b s h e"], angles: Float[Tensor, "... s 2 f"]) -> Float[Tensor, "b s h e"]:
        """The turned vectors."""
        cos, sin = angles.to(x.dtype)[..., None, :].unbind(dim=-3)
        return _Turned.apply(x, cos, sin)  # pyright: ignore[reportReturnType]

    def _speeds(self, like: Tensor) -> Float[Tensor, "f"]:
        speeds = _speeds(self.width, base=self.base, like=like)
        if self.period is None:
            return speeds
        slowest = 2 * math.pi / self.period
        return (speeds / slowest).round().clamp(min=1) * slowest


class _Turned(torch.autograd.Function):
    """Pairs turned by given angles, written where they belong: products and sums kept apart would double the memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        left, right = x.chunk(2, dim=-1)
        turned = x.new_empty(x.shape)
        a, b = turned.chunk(2, dim=-1)
        torch.mul(left, cos, out=a).addcmul_(right, sin, value=-1)
        torch.mul(left, sin, out=b).addcmul_(right, cos)
        return turned

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        cos, sin = ctx.saved_tensors
        return _Turned.apply(grads[0], cos, -sin), None, None  # pyright: ignore[reportReturnType]


def _speeds(width: int, *, base: float, like: Tensor) -> Float[Tensor, "f"]:
    return base ** (-torch.arange(0, width, 2, device=like.device, dtype=torch.float64) / width)
