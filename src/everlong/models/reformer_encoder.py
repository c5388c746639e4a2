"""Reformer (Kitaev et al., 2020, arXiv:2001.04451) as an encoder: reversible layers that sort a text by hash.

    Y1 = X1 + Attention(LN(X2))        Y2 = X2 + FF(LN(Y1))        X1 = X2: the embedding, twice
    hidden = W LN([Y1 ; Y2]) + b
    local     softmax_k( q_t . k_k / sqrt(e) ) v_k                 |t - k| <= window / 2
    hashed    softmax_k( q_t . k_k ) v_k,    k = q / |q|           k over C_t, and t itself where C_t is empty
    C_t       in any of `n_hashes` rounds another token of t's chunk or of the chunk before it, where the text is sorted
              by bucket and then by time and cut into chunks of `bucket_size`; the last chunk comes before the first
    bucket    argmax [ q R ; -q R ] of a round's fixed Gaussian R

This is the paper's attention, which asks for the whole text at once. As in the authors' code, a chunk may hold several
buckets. A text has any length: padding is sorted behind all tokens, is in no chunk, and is seen by none.
"""

from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from everlong.clock import Clock
from everlong.heads import MaskedTokenHead
from everlong.models.encoder import Encoder, GlobalMask
from everlong.models.reformer import (
    Angles,
    FeedForwardBranch,
    HashedConfig,
    HashedProjection,
    LocalProjection,
    Positions,
)
from everlong.models.registry import register
from everlong.nn.around import look_around
from everlong.nn.attention import attend
from everlong.nn.blocks import init_normal
from everlong.nn.lsh_attention import attend_chunks
from everlong.nn.position import Rotary
from everlong.nn.reversible import run_reversible
from everlong.nn.window import Sight, query_block
from everlong.shapes import Hidden, Lengths, Tokens


class ReformerEncoderConfig(HashedConfig):
    """Sizes of a Reformer that reads whole texts."""

    window: int = Field(default=128, ge=2)
    """Width of a local layer's window, half of it to each side."""
    bucket_size: int = Field(default=64, ge=1)
    """Tokens of a chunk; each sees its own chunk and the one before it."""


class LocalEncoding(nn.Module):
    """Attention to what stands near."""

    def __init__(self, config: ReformerEncoderConfig, rotary: Rotary) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.project = LocalProjection(config, rotary)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)

    def forward(self, x: Hidden, sight: Sight, angles: Angles) -> tuple[Hidden, None]:
        """What is added to the stream."""
        seen = attend(*self.project(x, angles), sight=sight)
        return F.dropout(self.out(seen.flatten(2)), self.dropout, self.training), None


class HashedEncoding(nn.Module):
    """Attention to what hashes alike."""

    def __init__(self, config: ReformerEncoderConfig, rotary: Rotary, *, layer: int) -> None:
        super().__init__()
        self.config = config
        self.project = HashedProjection(config, rotary, layer=layer)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)

    def forward(self, x: Hidden, lengths: Lengths | None, angles: Angles) -> tuple[Hidden, None]:
        """What is added to the stream."""
        c = self.config
        seen = attend_chunks(
            *self.project(x, angles),
            chunk=c.bucket_size,
            causal=False,
            count_duplicates=c.count_duplicates,
            lengths=lengths,
        )
        return F.dropout(self.out(seen.flatten(2)), c.dropout, self.training), None


@register("reformer-encoder", kind="encoder")
class ReformerEncoder(Encoder):
    """Bidirectional reversible layers that attend to what hashes alike, wherever it stands in the text."""

    Config = ReformerEncoderConfig

    def __init__(self, config: ReformerEncoderConfig) -> None:
        super().__init__(config)
        c = config
        self.embedding = nn.Embedding(c.vocab_size + 1, c.d_model)
        self.positions = Positions(c)
        self.branches = nn.ModuleList()
        for n, kind in enumerate(c.kinds):
            rotary = self.positions.rotary
            attention = LocalEncoding(c, rotary) if kind == "local" else HashedEncoding(c, rotary, layer=n)
            self.branches.extend([attention, FeedForwardBranch(c)])
        self.norm = nn.LayerNorm(2 * c.d_model)
        self.join = nn.Linear(2 * c.d_model, c.d_model)
        self.head = MaskedTokenHead(self.embedding)
        self.apply(init_normal)

    @property
    def config(self) -> ReformerEncoderConfig:
        """The config this encoder was built from."""
        return self._config  # pyright: ignore[reportReturnType]

    def encode(self, tokens: Tokens, clock: Clock, global_mask: GlobalMask | None) -> Hidden:
        """Hidden states of all tokens."""
        del global_mask
        c = self.config
        x, angles = self.positions(self.embedding(tokens), clock.position)
        x = F.dropout(x, c.dropout, self.training)
        near = look_around(clock, side=c.window // 2, block=query_block(c.window))
        attention: dict[str, tuple[Any, ...]] = {"local": (near, angles), "lsh": (clock.lengths, angles)}
        given = [arguments for kind in c.kinds for arguments in (attention[kind], ())]
        replay = self.training and (c.reversible or self.recompute)
        streams, _ = run_reversible(list(self.branches), (x, x), given, recompute=replay)
        return F.dropout(self.join(self.norm(torch.cat(streams, dim=-1))), c.dropout, self.training)
