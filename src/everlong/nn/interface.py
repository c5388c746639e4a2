"""What a controller tells its memory: one vector a step, cut into named parts, each with its own range.

    y = f(clip(x, -20, 20)),    f one of: linear, tanh, sigmoid, softplus, oneplus = 1 + softplus

The clip keeps strengths and powers where float32 can hold what they do (Collier & Beel, 2018). Derivatives of a whole
chunk are computed at once: `slope` is what a gradient of `y` is multiplied by.
"""

from collections.abc import Callable, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

CLIP = 20.0

Range = Literal["linear", "tanh", "sigmoid", "softplus", "oneplus"]


def _softplus(x: Tensor) -> Tensor:
    return F.softplus(x, out=x)  # pyright: ignore[reportCallIssue] - `out` is missing from torch's types


MAPS: dict[Range, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "tanh": torch.tanh_,
    "sigmoid": torch.sigmoid_,
    "softplus": _softplus,
    "oneplus": lambda x: _softplus(x).add_(1),
}
"""In place: a step has many small parts, and an operation that needs no memory costs less."""
SLOPES: dict[Range, Callable[[Tensor, Tensor], Tensor]] = {
    "linear": lambda _, y: torch.ones_like(y),
    "tanh": lambda _, y: 1 - y * y,
    "sigmoid": lambda _, y: y * (1 - y),
    "softplus": lambda x, _: x.sigmoid(),
    "oneplus": lambda x, _: x.sigmoid(),
}

Told = Float[Tensor, "b i"]


class Interface:
    """Names, sizes and ranges of the parts, in the order in which they lie; parts of one range lie together."""

    def __init__(self, parts: Mapping[str, tuple[Range, int]]) -> None:
        self.names = tuple(parts)
        self.sizes = [size for _, size in parts.values()]
        self.size = sum(self.sizes)
        self._ranges: list[Range] = []
        self._widths: list[int] = []
        for kind, run in groupby(parts.values(), key=itemgetter(0)):
            self._ranges.append(kind)
            self._widths.append(sum(size for _, size in run))

    def of(self, x: Told) -> Told:
        """All parts, each in its range."""
        y = x.clamp(-CLIP, CLIP)
        for kind, run in zip(self._ranges, y.split(self._widths, dim=-1), strict=True):
            MAPS[kind](run)
        return y

    def place(self, name: str) -> slice:
        """Where a part lies."""
        at = self.names.index(name)
        begin = sum(self.sizes[:at])
        return slice(begin, begin + self.sizes[at])

    def cut(self, y: Told) -> tuple[Tensor, ...]:
        """The parts, in order."""
        return y.split(self.sizes, dim=-1)

    def slope(self, x: Float[Tensor, "t b i"], y: Float[Tensor, "t b i"]) -> Float[Tensor, "t b i"]:
        """Derivative of `y` by `x`; 0 where `x` was clipped."""
        runs = zip(self._ranges, x.split(self._widths, dim=-1), y.split(self._widths, dim=-1), strict=True)
        slopes = torch.cat([SLOPES[kind](before, after) for kind, before, after in runs], dim=-1)
        return slopes.mul_((x > -CLIP) & (x < CLIP))
