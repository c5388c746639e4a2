"""Longformer-Encoder-Decoder (Beltagy et al., 2020, arXiv:2004.05150, section 7): long sources, short targets.

    encoder     layers of `longformer-encoder`: windows to both sides, and the first token of the source global
    decoder     that of `encoder-decoder`: all of its own last `context` tokens, and the whole source

Time and memory of the encoder follow its windows. As the paper does it, the first source token sees all and is seen by
all. The layers rotate queries and keys; positions that are sinusoidal are added to the embeddings besides, so that the
decoder can ask where something stood.
"""

from typing import Self

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import nn

from everlong.clock import Clock
from everlong.models.base import run_layer
from everlong.models.longformer_encoder import LongformerEncoderLayer, LongformerLayerConfig, views
from everlong.models.registry import register
from everlong.models.source_decoder import SourceDecoder, SourceDecoderConfig
from everlong.nn.packing import packing
from everlong.shapes import Hidden, Tokens


class LongformerEncoderDecoderConfig(SourceDecoderConfig, LongformerLayerConfig):
    """Sizes of a Longformer encoder, of its windows, and of a Transformer decoder."""

    @model_validator(mode="after")
    def _pre_norm(self) -> Self:
        if self.norm != "pre":
            raise ValueError(f"norm={self.norm!r} is not for this encoder, whose layers begin with a norm; give 'pre'.")
        return self


@register("longformer-encoder-decoder", kind="seq2seq")
class LongformerEncoderDecoder(SourceDecoder):
    """Encoder with windows and a global first token for long sources, and a Transformer decoder."""

    Config = LongformerEncoderDecoderConfig

    def __init__(self, config: LongformerEncoderDecoderConfig) -> None:
        super().__init__(config)
        self.encoder_layers = nn.ModuleList(LongformerEncoderLayer(config, self.rotary) for _ in range(config.n_layers))
        self.encoder_norm = nn.LayerNorm(config.d_model, eps=config.norm_eps)
        self.init_weights()

    @property
    def config(self) -> LongformerEncoderDecoderConfig:
        """The config this model was built from."""
        return self._config  # pyright: ignore[reportReturnType]

    def encode(self, source: Tokens, clock: Clock) -> Hidden:
        """States of all source tokens."""
        c, packed = self.config, packing(clock)
        first = torch.zeros_like(source, dtype=torch.bool)
        first[:, 0] = True if clock.lengths is None else clock.lengths > 0
        marks = first if bool(first.any()) else None
        x = self.embed_source(source)
        x = x if packed is None else packed.pack(x)
        for layer, view in zip(self.encoder_layers, views(c, clock, packed, marks), strict=True):
            x = run_layer(layer, (x, view), checkpoint=self.recompute and self.training)
        x = F.dropout(self.encoder_norm(x), c.dropout, self.training)
        return x if packed is None else packed.unpack(x)
