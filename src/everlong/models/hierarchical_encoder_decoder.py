"""Hierarchical encoder-decoder: sources in sections, read as HAT reads them (Chalkidis et al., 2022, arXiv:2210.05529).

    encoder     layers of `hierarchical-encoder`: S over each section, D over the sections' vectors
    state       LN(x_ij + v_i)                 token j of section i, and the section's vector
    decoder     that of `encoder-decoder`: all of its own last `context` tokens, and the whole source

A section's vector is added to each of its tokens, as Hiersumm does it (Liu & Lapata, 2019, arXiv:1905.13164, section
3.2), so the decoder looks at tokens alone, and each says what the rest of the document has made of its section. HAT
itself has no decoder. The vectors beside the tokens would be slots more than tokens were read.

As in the encoder, layers rotate queries and keys: inside a section by tokens, between vectors by sections. Positions
that are sinusoidal are added to the embeddings besides, so that the decoder can ask where something stood.
"""

import torch
import torch.nn.functional as F
from torch import nn

from everlong.clock import Clock
from everlong.models.bert import BertLayer
from everlong.models.encoder import Sections
from everlong.models.hierarchical_encoder import HierarchicalEncoderConfig, Line, run_hierarchy
from everlong.models.registry import register
from everlong.models.source_decoder import SourceDecoder, SourceDecoderConfig
from everlong.nn.sections import even_sections, in_sections
from everlong.shapes import Hidden, Tokens


class HierarchicalEncoderDecoderConfig(SourceDecoderConfig, HierarchicalEncoderConfig):
    """Sizes of a hierarchical encoder, the order of its layers, and sizes of a Transformer decoder."""


@register("hierarchical-encoder-decoder", kind="seq2seq")
class HierarchicalEncoderDecoder(SourceDecoder):
    """Encoder of sections and of their vectors for long sources, and a Transformer decoder."""

    Config = HierarchicalEncoderDecoderConfig
    has_sections = True

    def __init__(self, config: HierarchicalEncoderDecoderConfig) -> None:
        super().__init__(config)
        self.vector = nn.Parameter(torch.randn(config.d_model))
        self.encoder_layers = nn.ModuleList(BertLayer(config, self.rotary) for _ in config.kinds)
        self.encoder_norm = nn.LayerNorm(config.d_model, eps=config.norm_eps)
        self.init_weights()

    @property
    def config(self) -> HierarchicalEncoderDecoderConfig:
        """The config this model was built from."""
        return self._config  # pyright: ignore[reportReturnType]

    def encode(self, source: Tokens, clock: Clock) -> Hidden:
        """States of all source tokens, in sections of `segment`."""
        return self.encode_sections(source, clock, even_sections(clock, self.config.segment))

    def encode_sections(self, source: Tokens, clock: Clock, sections: Sections) -> Hidden:
        """States of all source tokens, in the sections that these tokens begin."""
        layout = in_sections(sections, clock)
        line = Line(layout)
        x = line.made(self.vector, layout.drawn(self.embed_source(source)))
        layers = zip(self.config.kinds, self.encoder_layers, strict=True)
        x = run_hierarchy(x, line, layers, checkpoint=self.recompute and self.training)
        states = self.encoder_norm(x[line.tokens] + x[line.vectors][layout.tokens.number])
        return layout.put(F.dropout(states, self.config.dropout, self.training))
