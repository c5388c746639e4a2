"""In which order slots were written: temporal links (Graves et al., 2016).

    precedence  p = (1 - sum w) p + w                              how much each slot was the last one written
    links       L_ij = (1 - w_i - w_j) L_ij + w_i p_j,  L_ii = 0    i was written right after j; p of the step before
    follow      forward = L w_read,  backward = L^T w_read

Functions that end in ``_back`` are the derivatives of those before them.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from everlong.nn.allocation import Slots
from everlong.nn.content import Weights

Links = Float[Tensor, "b s s"]


def precede(precedence: Slots, written: Slots) -> Slots:
    """Precedence after a write."""
    return (precedence + written).addcmul_(precedence, written.sum(dim=-1, keepdim=True), value=-1)


def precede_back(precedence: Slots, total: Float[Tensor, "b 1"], d_precedence: Slots) -> tuple[Slots, Slots]:
    """Gradients of the precedence before and of the weights written with, whose sum is `total`."""
    d_before = torch.addcmul(d_precedence, d_precedence, total, value=-1)
    return d_before, d_precedence - (d_precedence * precedence).sum(dim=-1, keepdim=True)


def link(links: Links, precedence: Slots, written: Slots) -> Links:
    """Links after a write; `precedence` is that of before it."""
    # L + w_i (p_j - L) - w_j L: two passes over the links.
    after = torch.lerp(links, precedence[:, None], written[:, :, None]).addcmul_(links, written[:, None], value=-1)
    after.diagonal(dim1=1, dim2=2).zero_()
    return after


def link_back(links: Links, precedence: Slots, written: Slots, d_links: Links) -> tuple[Links, Slots, Slots]:
    """Gradients of the links before, of the precedence before and of the weights written with; changes `d_links`."""
    d_links.diagonal(dim1=1, dim2=2).zero_()
    held = d_links * links
    lost = held.sum(dim=1)
    d_written = lost.add_(held.addcmul_(d_links, precedence[:, None], value=-1).sum(dim=2)).neg_()
    d_precedence = torch.bmm(written[:, None], d_links)[:, 0]
    d_before = torch.addcmul(d_links, d_links, written[:, None], value=-1)
    return d_before.addcmul_(d_links, written[:, :, None], value=-1), d_precedence, d_written


def follow(links: Links, weights: Weights) -> tuple[Weights, Weights]:
    """Where each head comes to one write back, and one write on."""
    return torch.bmm(weights, links), torch.bmm(weights, links.mT)


def follow_back(links: Links, weights: Weights, d_backward: Weights, d_forward: Weights, d_links: Links) -> Weights:
    """Gradient of the weights; that of the links is added to `d_links`."""
    heads = weights.shape[1]
    pairs = torch.cat([d_forward, weights, d_backward], dim=1)
    d_links.baddbmm_(pairs[:, : 2 * heads].mT, pairs[:, heads:])
    return torch.bmm(d_backward, links.mT).baddbmm_(d_forward, links)
