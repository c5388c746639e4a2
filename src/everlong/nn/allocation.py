"""Which slots are free: usage, and the order in which slots are given out.

DNC (Graves et al., 2016)    retention  psi_i = prod_r (1 - f^r w^r_i)
                             usage      u = (u + w - u w) psi                      w: where the step before wrote
                             allocation a[phi_j] = (1 - u[phi_j]) prod_(i<j) u[phi_i]     phi: slots, least used first

No gradient passes through the order. Usages within 2^-16 of each other are one and the same to it, and then the lower
index comes first: whether rounding puts one of two equally used slots ahead must not depend on who else is computed in
the same call. As in DeepMind's code, usage is lifted to at least `EPSILON` before allocation, which bounds gradients.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from everlong.nn.content import EPSILON, PerHead, Weights

GRAIN = 2.0**-16

Slots = Float[Tensor, "b s"]
Ahead = Float[Tensor, "b s+1"]
Order = Int[Tensor, "b s"]


def least_used_first(usage: Slots) -> Order:
    """Indices of all slots from the least to the most used; ties by index."""
    return torch.round(usage * (1 / GRAIN)).argsort(dim=-1, stable=True)


def least_used(usage: Slots, count: int) -> Slots:
    """1 at exactly `count` slots, the least used ones, and 0 elsewhere (Santoro et al., 2016, eq. 6)."""
    return torch.zeros_like(usage).scatter_(1, least_used_first(usage)[:, :count], 1.0)


def kept_by_each(weights: Weights, free: PerHead) -> Weights:
    """What each head leaves of each slot's usage: all but what it has read and sets free."""
    return (weights * free[..., None]).neg_().add_(1)


def product_of_others(kept: Weights) -> Weights:
    """For each head, the product over the other heads, without a division that may be by 0."""
    one = torch.ones_like(kept[:, :1])
    before = torch.cat([one, kept[:, :-1]], dim=1).cumprod(dim=1)
    after = torch.cat([one, kept[:, 1:].flip(1)], dim=1).cumprod(dim=1).flip(1)
    return before * after


def use(usage: Slots, written: Slots, retention: Slots) -> Slots:
    """Usage after the writes of the step before and the releases of this one."""
    return (usage + written).addcmul_(usage, written, value=-1).mul_(retention)


def use_back(usage: Slots, written: Slots, retention: Slots, d_usage: Slots) -> tuple[Slots, Slots, Slots]:
    """Gradients of the usage before, of the weights written with, and of the retention."""
    d_filled = d_usage * retention
    return (
        torch.addcmul(d_filled, d_filled, written, value=-1),
        torch.addcmul(d_filled, d_filled, usage, value=-1),
        (usage + written).addcmul_(usage, written, value=-1).mul_(d_usage),
    )


def allocate(usage: Slots, order: Order) -> tuple[Slots, Slots, Ahead]:
    """How much of a write goes to each slot, free ones first: sums to one less the product of all usages.

    Returns:
        The allocation; and for `allocate_back` the lifted usages in order, and the products of those ahead of each.
    """
    ordered = usage.mul(1 - EPSILON).add_(EPSILON).gather(1, order)
    ahead = torch.cat([torch.ones_like(usage[:, :1]), ordered.cumprod(dim=1)], dim=1)
    parts = ahead[:, :-1] - ahead[:, 1:]
    return torch.empty_like(usage).scatter_(1, order, parts), ordered, ahead


def allocate_back(order: Order, ordered: Slots, ahead: Ahead, d_allocation: Slots) -> Slots:
    """Gradient of the usage, with the order taken as given."""
    d_parts = d_allocation.gather(1, order)
    later = (d_parts * (ahead[:, :-1] - ahead[:, 1:])).flip(1).cumsum(dim=1).flip(1)
    # What a slot leaves to all behind it, divided by its own usage; the slot itself is not behind itself.
    d_ordered = torch.empty_like(d_parts)
    d_ordered[:, :-1] = later[:, 1:] / ordered[:, :-1]
    d_ordered[:, -1] = 0
    d_ordered.addcmul_(d_parts, ahead[:, :-1], value=-1)
    return torch.empty_like(d_parts).scatter_(1, order, d_ordered).mul_(1 - EPSILON)
