"""Which slots are free: usage, and the order in which slots are given out.

DNC (Graves et al., 2016)    retention  psi_i = prod_r (1 - f^r w^r_i)
                             usage      u = (u + w - u w) psi                      w: where the step before wrote
                             allocation a[phi_j] = (1 - u[phi_j]) prod_(i<j) u[phi_i]     phi: slots, least used first

No gradient passes through the order. Usages within 2^-16 of each other are one and the same to it, and then the lower
index comes first: whether rounding puts one of two equally used slots ahead must not depend on who else is computed in
the same call. As in DeepMind's code, usage is lifted to at least `EPSILON` before allocation, which bounds gradients.
"""

from typing import NamedTuple, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from everlong.nn.content import EPSILON, PerHead, Weights

GRAIN = 2.0**-16

Slots = Float[Tensor, "*b s"]
Order = Int[Tensor, "*b s"]


def least_used_first(usage: Slots) -> Order:
    """Indices of all slots from the least to the most used; ties by index."""
    return torch.round(usage * (1 / GRAIN)).argsort(dim=-1, stable=True)


def least_used(usage: Slots, count: int) -> Slots:
    """1 at exactly `count` slots, the least used ones, and 0 elsewhere (Santoro et al., 2016, eq. 6)."""
    return torch.zeros_like(usage).scatter_(1, least_used_first(usage)[:, :count], 1.0)


def kept_by_each(weights: Weights, free: PerHead) -> Weights:
    """What each head leaves of each slot's usage: all but what it has read and sets free."""
    return (weights * free[..., None]).neg_().add_(1)


def product_of_others(kept: Float[Tensor, "*b h s"]) -> Float[Tensor, "*b h s"]:
    """For each head, the product over the other heads, without a division that may be by 0."""
    one = torch.ones_like(kept[..., :1, :])
    before = torch.cat([one, kept[..., :-1, :]], dim=-2).cumprod(dim=-2)
    after = torch.cat([one, kept[..., 1:, :].flip(-2)], dim=-2).cumprod(dim=-2).flip(-2)
    return before * after


def use(usage: Slots, written: Slots, retention: Slots) -> Slots:
    """Usage after the writes of the step before and the releases of this one."""
    return filled(usage, written).mul_(retention)


def filled(usage: Slots, written: Slots) -> Slots:
    """Usage after the writes of the step before."""
    return (usage + written).addcmul_(usage, written, value=-1)


class UseFactors(NamedTuple):
    """What a gradient of the usage is multiplied by for those of the usage before, the weights and the retention."""

    usage: Slots
    written: Slots
    retention: Slots

    @classmethod
    def of(cls, usage: Slots, written: Slots, retention: Slots) -> Self:
        """Derivatives of `use`."""
        return cls(retention - retention * written, retention - retention * usage, filled(usage, written))


class Allocation(NamedTuple):
    """How much of a write goes to each slot; and in order, least used first, what `AllocationFactors` needs."""

    shares: Slots
    ordered: Slots
    ahead: Slots
    parts: Slots


def allocate(usage: Slots, order: Order) -> Allocation:
    """Free slots get what is written, the least used ones first: sums to one less the product of all usages.

    Returns:
        The shares; and in order: lifted usages, the products of those ahead of each, and the shares again.
    """
    ordered = usage.mul(1 - EPSILON).add_(EPSILON).gather(1, order)
    behind = ordered.cumprod(dim=1)
    ahead = behind / ordered
    parts = ahead - behind
    return Allocation(torch.empty_like(usage).scatter_(1, order, parts), ordered, ahead, parts)


class AllocationFactors(NamedTuple):
    """The order, from the last slot to the first, and what gradients of the shares are multiplied by on their way."""

    order: Order
    parts: Slots
    own: Slots
    rest: Float[Tensor, "*b s-1"]

    @classmethod
    def of(cls, order: Order, ordered: Slots, ahead: Slots, parts: Slots) -> Self:
        """Derivatives of `allocate`, with the order taken as given."""
        rest = ((1 - EPSILON) / ordered).flip(-1)[..., 1:]
        return cls(order.flip(-1), parts.flip(-1), (ahead * (EPSILON - 1)).flip(-1), rest)


def allocate_back(factors: AllocationFactors, d_shares: Slots, d_usage: Slots) -> None:
    """Add the gradient of the usage to `d_usage`."""
    d_parts = d_shares.gather(1, factors.order)
    # What a slot leaves to all behind it, divided by its own usage; the slot itself is not behind itself.
    behind = (d_parts * factors.parts).cumsum(dim=1)
    d_ordered = d_parts.mul_(factors.own)
    d_ordered[:, 1:].addcmul_(behind[:, :-1], factors.rest)
    d_usage.scatter_add_(1, factors.order, d_ordered)
