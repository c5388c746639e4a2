"""Locality-sensitive hashing: vectors that point the same way fall into the same bucket (Andoni et al., 2015).

    h(x) = argmax( [x R ; -x R] )          R: Gaussian, half as many columns as there are buckets

Only the direction of `x` counts. Two rounds with rotations of their own seldom make the same mistake.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from everlong.nn.tiles import piece


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
    lanes, _, _, _ = x.shape
    by_head, rotations = x.permute(2, 0, 1, 3).flatten(1, 2), rotations.to(x.dtype)
    # Some tokens at a time: what is turned is many times as wide as what it was.
    size = max(1, piece(x) // rotations[:, :, 0].numel())
    found = [_farthest(part @ rotations) for part in by_head.split(size, dim=1)]
    return torch.cat(found, dim=-1).unflatten(-1, (lanes, -1)).permute(2, 1, 0, 3).contiguous()


def _farthest(turned: Float[Tensor, "r h n f"]) -> Int[Tensor, "r h n"]:
    farthest = _argmax(turned.abs())
    opposite = turned.gather(-1, farthest[..., None])[..., 0] < 0
    return (farthest + opposite * turned.shape[-1]).to(torch.int16)


def _argmax(x: Float[Tensor, "*n f"]) -> Int[Tensor, "*n"]:
    if x.device.type == "cpu":
        # Seven times faster than torch.argmax there; it knows no bfloat16.
        return torch.from_numpy(np.argmax((x.float() if x.dtype.itemsize < 4 else x).numpy(), axis=-1))
    return x.argmax(dim=-1)


def bucket_order(buckets: Int[Tensor, "*n t"]) -> Int[Tensor, "*n t"]:
    """Indices that sort by bucket, and by time within a bucket."""
    if buckets.device.type == "cpu":
        # Radix sort of 16-bit numbers: twenty times faster than torch.argsort there.
        return torch.from_numpy(np.argsort(buckets.numpy(), axis=-1, kind="stable"))
    return buckets.argsort(dim=-1, stable=True)
