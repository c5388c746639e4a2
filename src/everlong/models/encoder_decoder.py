"""The Transformer (Vaswani et al., 2017, arXiv:1706.03762): an encoder, and a decoder that looks at what it made.

    post    a = LN(x + Attention(x))          x' = LN(a + FF(a))                 as published
    pre     a = x + Attention(LN(x))          x' = a + FF(LN(a))                 and LN at the end: steadier when deep

Every source token sees every other of its source, whatever its length. The decoder, and how both know positions, stand
in everlong.models.source_decoder.
"""

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from everlong.clock import Clock
from everlong.models.base import run_layer
from everlong.models.registry import register
from everlong.models.source_decoder import SourceDecoder, SourceDecoderConfig
from everlong.nn.bidirectional import attend_both_sides
from everlong.nn.blocks import FeedForward
from everlong.nn.packing import Packing, angles_of_texts, packing
from everlong.nn.position import Rotary
from everlong.shapes import Hidden, Tokens


class EncoderDecoderConfig(SourceDecoderConfig):
    """Sizes of a Transformer with encoder and decoder."""


class EncoderLayer(nn.Module):
    """Attention to the whole source, then a feed-forward map, each added to a stream that is normed before or after."""

    def __init__(self, config: EncoderDecoderConfig, rotary: Rotary) -> None:
        super().__init__()
        d = config.d_model
        self.n_heads, self.dropout, self.pre_norm = config.n_heads, config.dropout, config.norm == "pre"
        self.attention_norm, self.ff_norm = nn.LayerNorm(d), nn.LayerNorm(d)
        self.project, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.ff = FeedForward(d_model=d, d_ff=config.d_ff, dropout=config.dropout)
        self.rotary = rotary

    def forward(
        self, x: Hidden, valid: Bool[Tensor, "b t"] | Packing | None, angles: Float[Tensor, "t 2 f"] | None
    ) -> Hidden:
        """The next hidden states."""
        if self.pre_norm:
            x = x + self._attend(self.attention_norm(x), valid, angles)
            return x + self.ff(self.ff_norm(x))
        x = self.attention_norm(x + self._attend(x, valid, angles))
        return self.ff_norm(x + self.ff(x))

    def _attend(self, x: Hidden, valid: Tensor | Packing | None, angles: Tensor | None) -> Hidden:
        query, key, value = (part.unflatten(-1, (self.n_heads, -1)) for part in self.project(x).chunk(3, dim=-1))
        if angles is not None:
            query, key = self.rotary(query, angles), self.rotary(key, angles)
        dropout = self.dropout if self.training else 0.0
        seen = attend_both_sides(query, key, value, valid=valid, dropout=dropout)
        return F.dropout(self.out(seen.flatten(2)), self.dropout, self.training)


@register("encoder-decoder", kind="seq2seq")
class EncoderDecoder(SourceDecoder):
    """Transformer with an encoder for the source and a causal decoder that looks at all of it."""

    Config = EncoderDecoderConfig

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__(config)
        self.encoder_layers = nn.ModuleList(EncoderLayer(config, self.rotary) for _ in range(config.n_layers))
        self.encoder_norm = nn.LayerNorm(config.d_model) if config.norm == "pre" else nn.Identity()
        self.init_weights()

    def encode(self, source: Tokens, clock: Clock) -> Hidden:
        """States of all source tokens."""
        x, valid = self.embed_source(source), clock.valid
        packed = packing(clock)
        if packed is not None:
            x, valid = packed.pack(x), packed
        angles = angles_of_texts(self.rotary, x, valid) if self.config.positions == "rotary" else None
        for layer in self.encoder_layers:
            x = run_layer(layer, (x, valid, angles), checkpoint=self.recompute and self.training)
        x = F.dropout(self.encoder_norm(x), self.config.dropout, self.training)
        return x if packed is None else packed.unpack(x)
