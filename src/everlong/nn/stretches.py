"""Stretches of different lengths on one line without padding: words of sentences, sentences of documents.

    line      | a a a | b | c c c c c | …          `length` says how many items belong to each

What is computed for whole stretches is computed for those of like length together, right-padded to the longest of them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Stretches of like length."""

    items: Int[Tensor, "n t"]
    """Their items on the line, first to last; the last one again in the place of padding."""

    real: Bool[Tensor, "n t"] | None
    """Which are no padding; ``None`` when all are."""

    backwards: Int[Tensor, "n t"]
    """Their items last to first, and the first one again."""


Part = tuple[Int[Tensor, "n t"], Bool[Tensor, "n t"] | None, Float[Tensor, "n t d"]]
"""Places on a line, which of them are real, and what belongs there."""


@dataclass(frozen=True)
class Stretches:
    """A line cut into stretches, of which some may be empty."""

    length: Int[Tensor, "n"]

    @property
    def count(self) -> int:
        """How many stretches there are."""
        return len(self.length)

    @cached_property
    def first(self) -> Int[Tensor, "n"]:
        """The first item of each."""
        return self.length.cumsum(dim=0) - self.length

    @cached_property
    def number(self) -> Int[Tensor, "m"]:
        """The stretch of each item."""
        return torch.arange(self.count, device=self.length.device).repeat_interleave(self.length)

    @cached_property
    def buckets(self) -> tuple[Bucket, ...]:
        """All stretches that are not empty, by length: no bucket has one that is twice as long as another."""
        by_size: dict[int, list[int]] = {}
        for which, length in enumerate(self.length.tolist()):
            if length:
                by_size.setdefault(length.bit_length(), []).append(which)
        return tuple(self._bucket(torch.tensor(which, device=self.length.device)) for which in by_size.values())

    def _bucket(self, which: Int[Tensor, "n"]) -> Bucket:
        first, length = self.first[which][:, None], self.length[which][:, None]
        at = torch.arange(int(length.max()), device=which.device)
        real = at < length
        last = length - 1
        return Bucket(
            items=first + torch.minimum(at, last),
            real=None if bool(real.all()) else real,
            backwards=first + (last - at).clamp(min=0),
        )


def take(line: Shaped[Tensor, "m *k"], items: Int[Tensor, "n t"]) -> Shaped[Tensor, "n t *k"]:
    """Items of a line by their places."""
    return line.index_select(0, items.flatten()).unflatten(0, items.shape)


def give(parts: Iterable[Part]) -> Float[Tensor, "m k"]:
    """The line made of parts; there is at least one."""
    places: list[Tensor] = []
    values: list[Tensor] = []
    for items, real, part in parts:
        places.append(items.flatten() if real is None else items[real])
        values.append(part.flatten(0, 1) if real is None else part[real])
    order, rows = torch.cat(places), torch.cat(values)
    return rows.index_select(0, order.argsort())


def by_bucket(
    fn: Callable[[Tensor, Tensor | None], Tensor], line: Float[Tensor, "m d"], stretches: Stretches
) -> Float[Tensor, "m d"]:
    """What `fn` makes of right-padded stretches ``[n t d]`` and their real items, on the line again."""
    if not len(line):
        return line
    return give((b.items, b.real, fn(take(line, b.items), b.real)) for b in stretches.buckets)
