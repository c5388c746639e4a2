"""What a controller tells its memory: one vector a step, cut into named parts, each with its own range.

    y = f(clip(x, -20, 20)),    f one of: linear, tanh, sigmoid, softplus, oneplus = 1 + softplus

The clip keeps strengths and powers where float32 can hold what they do (Collier & Beel, 2018). Derivatives of a whole
chunk are computed at once: `slope` is what a gradient of `y` is multiplied by.
"""

from collections.abc import Mapping
from itertools import groupby
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

CLIP = 20.0

Range = Literal["linear", "tanh", "sigmoid", "softplus", "oneplus"]


Told = Float[Tensor, "b i"]


class Interface:
    """Names, sizes and ranges of the parts, in the order in which they lie; parts of one range lie together."""

    def __init__(self, parts: Mapping[str, tuple[Range, int]]) -> None:
        self.names = tuple(parts)
        self.sizes = [size for _, size in parts.values()]
        self.size = sum(self.sizes)
        self._spans: list[tuple[Range, int, int]] = []
        begin = 0
        for kind, group in groupby(parts.values(), key=lambda part: part[0]):
            end = begin + sum(size for _, size in group)
            if kind != "linear":
                self._spans.append((kind, begin, end))
            begin = end

    def of(self, x: Told) -> Told:
        """All parts, each in its range."""
        y = x.clamp(-CLIP, CLIP)
        for kind, begin, end in self._spans:
            part = y[:, begin:end]
            if kind == "sigmoid":
                part.sigmoid_()
            elif kind == "tanh":
                part.tanh_()
            else:
                torch.add(F.softplus(part), 1 if kind == "oneplus" else 0, out=part)
        return y

    def cut(self, y: Told) -> tuple[Tensor, ...]:
        """The parts, in order."""
        return y.split(self.sizes, dim=-1)

    def slope(self, x: Float[Tensor, "t b i"], y: Float[Tensor, "t b i"]) -> Float[Tensor, "t b i"]:
        """Derivative of `y` by `x`; 0 where `x` was clipped."""
        slope = torch.ones_like(y)
        for kind, begin, end in self._spans:
            there = (..., slice(begin, end))
            if kind == "sigmoid":
                slope[there] = y[there] * (1 - y[there])
            elif kind == "tanh":
                slope[there] = 1 - y[there] * y[there]
            else:
                slope[there] = x[there].sigmoid()
        return slope.mul_((x > -CLIP) & (x < CLIP))
