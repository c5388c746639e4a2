"""Addressing by place: weights that keep what they were, move to a neighbour, and gather again (Graves et al., 2014).

    interpolate   w_g = g w_c + (1 - g) w_before                                   eq. 7
    shift         w~_i = sum_o w_g[(i - o) mod N] s[o],    o in -1, 0, 1           eq. 8
    sharpen       w_i = w~_i^gamma / sum_j w~_j^gamma                              eq. 9, computed as
                      = softmax_i(gamma log(w~_i + tiny))

In half of float32's range ``(1 / 128)^20`` is nothing, so a power of weights is taken by their logarithms. Functions
that end in ``_back`` are the derivatives of those before them.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from everlong.nn.content import PerHead, Weights, softmax_back

TINY = 1e-16
SHIFTS = 3


def interpolate(content: Weights, before: Weights, gate: PerHead) -> Weights:
    """Weights by content where the gate is 1, those of the step before where it is 0."""
    return torch.lerp(before, content, gate[..., None])


def interpolate_back(difference: Weights, gate: PerHead, d_weights: Weights) -> tuple[Weights, Weights, PerHead]:
    """Gradients of the weights by content, of those before, and of the gate; `difference` is content less before."""
    d_content = d_weights * gate[..., None]
    return d_content, d_weights - d_content, (d_weights * difference).sum(dim=-1)


def shift(weights: Weights, kernel: Float[Tensor, "b h 3"]) -> Weights:
    """Weights moved by -1, 0 and +1 slots around the circle, mixed by the kernel."""
    around = _circle(weights)
    moved = around[..., :-2] * kernel[..., 2:]
    return moved.addcmul_(weights, kernel[..., 1:2]).addcmul_(around[..., 2:], kernel[..., :1])


def neighbours(weights: Float[Tensor, "*b s"]) -> Float[Tensor, "*b 3 s"]:
    """What each entry of a kernel multiplies, for each slot."""
    around = _circle(weights)
    return torch.stack([around[..., 2:], weights, around[..., :-2]], dim=-2)


def shift_back(
    neighbours: Float[Tensor, "b h 3 s"], kernel: Float[Tensor, "b h 3"], d_shifted: Weights
) -> tuple[Weights, Float[Tensor, "b h 3"]]:
    """Gradients of the weights and of the kernel."""
    # What moves weights forward moves gradients back.
    return shift(d_shifted, kernel.flip(-1)), (neighbours * d_shifted[:, :, None]).sum(dim=-1)


def sharpen(weights: Weights, power: PerHead) -> Weights:
    """Weights to a power, with sum 1."""
    return torch.log(weights + TINY).mul_(power[..., None]).softmax(dim=-1)


def sharpen_back(weights: Weights, power: PerHead, sharp: Weights, d_sharp: Weights) -> tuple[Weights, PerHead]:
    """Gradients of the weights and of the power; `sharp` is what `sharpen` returned."""
    d_scores = softmax_back(sharp, d_sharp)
    above = weights + TINY
    d_power = (d_scores * above.log()).sum(dim=-1)
    return d_scores.mul_(power[..., None]).div_(above), d_power


def _circle(weights: Float[Tensor, "*b s"]) -> Float[Tensor, "*b s+2"]:
    """The slots, with the last before the first and the first after the last."""
    return torch.cat([weights[..., -1:], weights, weights[..., :1]], dim=-1)
