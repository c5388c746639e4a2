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


def precede_back(precedence: Slots, written: Slots, d_precedence: Slots) -> tuple[Slots, Slots]:
    """Gradients of the precedence before and of the weights written with."""
    d_before = torch.addcmul(d_precedence, d_precedence, written.sum(dim=-1, keepdim=True), value=-1)
    return d_before, d_precedence - (d_precedence * precedence).sum(dim=-1, keepdim=True)


def link(links: Links, precedence: Slots, written: Slots) -> Links:
    """Links after a write; `precedence` is that of before it."""
    after = _faded(links, written).addcmul_(written[:, :, None], precedence[:, None])
    after.diagonal(dim1=1, dim2=2).zero_()
    return after


def link_back(links: Links, precedence: Slots, written: Slots, d_links: Links) -> tuple[Links, Slots, Slots]:
    """Gradients of the links before, of the precedence before and of the weights written with; changes `d_links`."""
    d_links.diagonal(dim1=1, dim2=2).zero_()
    held = d_links * links
    d_written = torch.bmm(d_links, precedence[..., None])[..., 0].sub_(held.sum(dim=1)).sub_(held.sum(dim=2))
    d_before = torch.bmm(written[:, None], d_links)[:, 0]
    return _faded(d_links, written), d_before, d_written


def _faded(links: Links, written: Slots) -> Links:
    """Less of every link from and to the slots just written."""
    kept = written.neg().add_(1)[:, :, None]
    return links * (kept - written[:, None])


def follow(links: Links, weights: Weights) -> tuple[Weights, Weights]:
    """Where each head comes to one write back, and one write on."""
    return torch.bmm(weights, links), torch.bmm(weights, links.mT)


def follow_back(
    links: Links, weights: Weights, d_backward: Weights, d_forward: Weights, d_links: Links
) -> tuple[Links, Weights]:
    """Gradient of the links, added to `d_links`, and of the weights."""
    d_links = torch.baddbmm(d_links, torch.cat([d_forward, weights], dim=1).mT, torch.cat([weights, d_backward], dim=1))
    return d_links, torch.baddbmm(torch.bmm(d_backward, links.mT), d_forward, links)
