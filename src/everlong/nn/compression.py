"""Many layer inputs into few: what stands in a memory for the tokens that left it, and how well it does so.

    max-pool        c = max_i h_i          mean-pool    c = mean_i h_i          over the `rate` tokens of a block
    conv            c = b + sum_i W_i h_i                                       kernel and stride `rate`
    dilated-conv    the same over every other token: the kernel reaches into the block before
    identity        c = h                                                       rate 1
    most-used       not a block's business: of a whole segment, the tokens that received most attention, in their order

and the two losses from which a convolution learns what to keep (Rae et al., 2020, section 3.2):

    attention reconstruction    | attention(q, old) - attention(q, compressed old) |^2      by content, not distance
    auto-encoding               | old - g(compressed old) |^2                               g linear
"""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Compression = Literal["max-pool", "mean-pool", "conv", "dilated-conv", "most-used", "identity"]

DILATION = 2
"""Places between two tokens that a dilated convolution reads, the last of which is its block's last."""


def max_pool(blocks: Float[Tensor, "*n r d"]) -> Float[Tensor, "*n d"]:
    """The largest of each coordinate."""
    return blocks.amax(dim=-2)


def mean_pool(blocks: Float[Tensor, "*n r d"]) -> Float[Tensor, "*n d"]:
    """The mean of each coordinate."""
    return blocks.mean(dim=-2)


def the_only(blocks: Float[Tensor, "*n 1 d"]) -> Float[Tensor, "*n d"]:
    """The token itself, of blocks of one."""
    return blocks.squeeze(-2)


POOLS: dict[Compression, Callable[[Tensor], Tensor]] = {
    "max-pool": max_pool,
    "mean-pool": mean_pool,
    "identity": the_only,
}
"""Compressions of a block that have no weights."""


def has_weights(compression: Compression) -> bool:
    """Whether there is anything to train."""
    return compression in ("conv", "dilated-conv")


def context_of(compression: Compression, *, rate: int) -> int:
    """How many tokens before its block a slot is made of too."""
    return (DILATION - 1) * (rate - 1) if compression == "dilated-conv" else 0


def most_used(entries: Float[Tensor, "b s k"], received: Float[Tensor, "b s"], *, keep: int) -> Float[Tensor, "b n k"]:
    """The `keep` entries that received most attention, in the order in which they stand; of equals, the older ones."""
    order = received.sort(dim=1, descending=True, stable=True).indices
    chosen = order[:, :keep].sort(dim=1).values
    return entries.gather(1, chosen[..., None].expand(-1, -1, entries.shape[2]))


def attention_reconstruction(
    query: Float[Tensor, "b t h e"],
    *,
    old: Float[Tensor, "b s 2 h e"],
    new: Float[Tensor, "b n 2 h e"],
) -> Float[Tensor, "b t"]:
    """How far what a token reads by content from `new` is from what it reads from `old`: a mean square per token.

    Args:
        query: one per token.
        old: keys, then values.
        new: likewise.
    """
    read: list[Tensor] = []
    for entries in (old, new):
        key, value = entries.transpose(1, 3).unbind(2)
        read.append(F.scaled_dot_product_attention(query.transpose(1, 2), key, value))
    kind = torch.promote_types(query.dtype, torch.float32)
    return (read[0] - read[1]).to(kind).square().mean(dim=(1, 3))


def auto_encoding(blocks: Float[Tensor, "n r d"], decoded: Float[Tensor, "n r*d"]) -> Float[Tensor, "n"]:
    """How far decoded slots are from their blocks: a mean square per block."""
    return (blocks.flatten(1) - decoded).square().mean(dim=1)


class Compressor(nn.Module):
    """A block of layer inputs, with the context before it, into one slot. A convolution begins as a mean.

    Args:
        width: of a layer input.
        rate: tokens of a block.
        compression: any but ``most-used``, which does not work on blocks.
        decodes: whether a convolution brings the decoder that auto-encoding asks for.
    """

    def __init__(self, *, width: int, rate: int, compression: Compression, decodes: bool) -> None:
        super().__init__()
        self.compression: Compression = compression
        self.rate = rate
        learned = has_weights(compression)
        self.encoder = nn.Linear(rate * width, width) if learned else None
        self.decoder = nn.Linear(width, rate * width) if learned and decodes else None

    @torch.no_grad()
    def begin_as_mean(self) -> None:
        """Let the encoder take the mean of what it reads, and the decoder repeat it."""
        if self.encoder is not None:
            same = torch.eye(self.encoder.out_features).repeat(1, self.rate)
            self.encoder.weight.copy_(same / self.rate)
            self.encoder.bias.zero_()
            if self.decoder is not None:
                self.decoder.weight.copy_(same.T)
                self.decoder.bias.zero_()

    def forward(self, blocks: Float[Tensor, "*n c d"], *, frozen: bool = False) -> Float[Tensor, "*n d"]:
        """The slots of some blocks. Through a frozen convolution gradients reach the blocks, but not the weights."""
        if self.encoder is None:
            return POOLS[self.compression](blocks)
        if self.compression == "dilated-conv":
            blocks = blocks[..., ::DILATION, :]
        weight, bias = self.encoder.weight, self.encoder.bias
        return F.linear(blocks.flatten(-2), *((weight.detach(), bias.detach()) if frozen else (weight, bias)))


def blocks_of(line: Float[Tensor, "b s d"], *, rate: int, context: int) -> Float[Tensor, "b n c d"]:
    """Consecutive blocks with their context, from a line of nothing else that begins with the first one's context."""
    return line.unfold(1, rate + context, rate).transpose(2, 3)
