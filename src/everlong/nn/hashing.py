"""Locality-sensitive hashing: vectors that point the same way fall into the same bucket (Andoni et al., 2015).

    h(x) = argmax( [x R ; -x R] )          R: Gaussian, half as many columns as there are buckets

Only the direction of `x` counts. Two rounds with rotations of their own seldom make the same mistake.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


def draw_rotations(
    rng: torch.Generator, *, n_hashes: int, n_heads: int, width: int, n_buckets: int
) -> Float[Tensor, "r h e f"]:
    """Gaussian matrices for every round and head.

    The rounds are drawn one after another: a model with more rounds shares its first ones with a model with fewer.
    """
    size = (n_heads, width, n_buckets // 2)
    return torch.stack([torch.randn(size, generator=rng, device="cpu") for _ in range(n_hashes)])


def bucket_of(x: Float[Tensor, "b t h e"], rotations: Float[Tensor, "r h e f"]) -> Int[Tensor, "b h r t"]:
    """The bucket of every vector in every round, as int16."""
    # A round at a time: what is turned is many times as wide as what it was.
    return torch.stack([_bucket_of(x, rotation.to(x.dtype)) for rotation in rotations], dim=2)


def _bucket_of(x: Float[Tensor, "b t h e"], rotation: Float[Tensor, "h e f"]) -> Int[Tensor, "b h t"]:
    turned = torch.einsum("bthe,hef->bhtf", x, rotation)
    farthest = turned.abs().argmax(dim=-1, keepdim=True)
    opposite = turned.gather(-1, farthest) < 0
    return (farthest + opposite * turned.shape[-1])[..., 0].to(torch.int16)


def bucket_order(buckets: Int[Tensor, "*n t"]) -> Int[Tensor, "*n t"]:
    """Indices that sort by bucket, and by time within a bucket."""
    if buckets.device.type == "cpu":
        # Radix sort of 16-bit numbers: twenty times faster than torch.argsort there.
        return torch.from_numpy(np.argsort(buckets.numpy(), axis=-1, kind="stable"))
    return buckets.argsort(dim=-1, stable=True)
