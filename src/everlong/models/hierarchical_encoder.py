"""Hierarchical attention Transformer (HAT; Chalkidis et al., 2022, arXiv:2210.05529) as an encoder of long texts.

    section      [ c ; x_1 … x_m ]                      a learned vector c, then the section's tokens
    S            BERT layer over each section by itself, the same weights for all
    D            BERT layer over the vectors of a text's sections, which are put back where they were

`layout` says in which order, and is repeated until there are `n_layers`: "SD" is the paper's interleaved I1, "SSD" its
I3, and a layout as long as the model may leave all D to the end. Cost follows the sections' lengths, plus the square of
how many there are. Tokens of one section learn of another from the vectors alone, one S after a D.

Inside a section, rotation says how far apart two tokens are (the paper has learned positions), and between sections how
many lie between. A text is summed up as the mean of its sections' vectors.
"""

from collections.abc import Iterable
from typing import Self

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from pydantic import model_validator
from torch import Tensor, nn

from everlong.clock import Clock
from everlong.config import require_rotates
from everlong.heads import MaskedTokenHead
from everlong.models.base import run_layer
from everlong.models.bert import BertLayer, BertLayerConfig
from everlong.models.encoder import GlobalMask, Sections
from everlong.models.registry import register
from everlong.models.sectioned import SectionedConfig, SectionedEncoder
from everlong.nn.blocks import init_normal
from everlong.nn.pooling import pool_evenly
from everlong.nn.position import Rotary
from everlong.nn.sections import Layout
from everlong.nn.stretches import Stretches, by_bucket
from everlong.shapes import Hidden, Tokens


class HierarchicalEncoderConfig(BertLayerConfig, SectionedConfig):
    """Sizes of a hierarchical encoder, and the order of its layers."""

    layout: str = "SD"
    """S for a layer over each section, D for one over the sections' vectors; repeated until there are `n_layers`."""

    @model_validator(mode="after")
    def _layers(self) -> Self:
        if not self.layout.startswith("S") or set(self.layout) - {"S", "D"}:
            raise ValueError(
                f"layout={self.layout!r} must be of S (each section) and D (across sections) and begin with S, "
                "for no vector has seen its section before; give SD, SSD or the like."
            )
        require_rotates(d_model=self.d_model, n_heads=self.n_heads)
        return self

    @property
    def kinds(self) -> str:
        """S or D, for every layer."""
        return (self.layout * self.n_layers)[: self.n_layers]


class Line:
    """The line of all sections, each with its vector before its tokens."""

    def __init__(self, layout: Layout) -> None:
        self.sections = layout.sections
        self.items = Stretches(layout.tokens.length + 1)
        self.vectors = self.items.first
        number = layout.tokens.number
        self.tokens = torch.arange(1, len(number) + 1, device=number.device) + number

    def made(self, vector: Float[Tensor, "d"], tokens: Float[Tensor, "m d"]) -> Float[Tensor, "k d"]:
        """The line of the same vector for each section, and of these tokens."""
        line = tokens.new_empty(len(self.vectors) + len(tokens), len(vector))
        line = line.index_copy(0, self.vectors, vector.to(tokens.dtype).expand(len(self.vectors), -1))
        return line.index_copy(0, self.tokens, tokens)


def run_hierarchy(
    x: Float[Tensor, "k d"], line: Line, layers: Iterable[tuple[str, nn.Module]], *, checkpoint: bool
) -> Float[Tensor, "k d"]:
    """The line of sections after these layers, each of its kind: S or D."""
    for kind, layer in layers:

        def run(rows: Hidden, real: Bool[Tensor, "b t"] | None, layer: nn.Module = layer) -> Hidden:
            return run_layer(layer, (rows, real), checkpoint=checkpoint)

        if kind == "S":
            x = by_bucket(run, x, line.items)
        else:
            x = x.index_copy(0, line.vectors, by_bucket(run, x[line.vectors], line.sections))
    return x


@register("hierarchical-encoder", kind="encoder")
class HierarchicalEncoder(SectionedEncoder):
    """Transformer over each section of a text, in turns with one over the sections' vectors."""

    Config = HierarchicalEncoderConfig

    def __init__(self, config: HierarchicalEncoderConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size + 1, config.d_model)
        self.vector = nn.Parameter(torch.randn(config.d_model) * 0.02)
        rotary = Rotary(width=config.d_model // config.n_heads, base=config.rope_base)
        self.layers = nn.ModuleList(BertLayer(config, rotary) for _ in config.kinds)
        # Before the first layer where layers end with a norm, after the last one where they begin with one.
        self.norm = nn.LayerNorm(config.d_model, eps=config.norm_eps)
        self.head = MaskedTokenHead(self.embedding, norm_eps=config.norm_eps)
        self.apply(init_normal)

    @property
    def config(self) -> HierarchicalEncoderConfig:
        """The config this encoder was built from."""
        return self._config  # pyright: ignore[reportReturnType]

    def encode_sections(self, tokens: Tokens, clock: Clock, sections: Sections) -> Hidden:
        """Hidden states of all tokens."""
        layout = self.layout(clock, sections)
        line = Line(layout)
        return layout.put(self._read(tokens, layout, line)[line.tokens])

    def sum_up(
        self, tokens: Tokens, clock: Clock, global_mask: GlobalMask | None, sections: Sections | None
    ) -> Float[Tensor, "b d"]:
        """The mean of each text's sections' vectors."""
        del global_mask
        layout = self.layout(clock, sections)
        line = Line(layout)
        vectors = self._read(tokens, layout, line)[line.vectors]
        return pool_evenly(vectors, layout.sections.number, count=layout.sections.count, pooling="mean")

    def _read(self, tokens: Tokens, layout: Layout, line: Line) -> Float[Tensor, "k d"]:
        """Hidden states of vectors and tokens."""
        pre_norm = self.config.norm == "pre"
        x = line.made(self.vector, self.embedding(layout.drawn(tokens)))
        x = self._dropped(x if pre_norm else self.norm(x))
        layers = zip(self.config.kinds, self.layers, strict=True)
        x = run_hierarchy(x, line, layers, checkpoint=self.recompute and self.training)
        return self._dropped(self.norm(x)) if pre_norm else x

    def _dropped(self, x: Float[Tensor, "k d"]) -> Float[Tensor, "k d"]:
        return F.dropout(x, self.config.dropout, self.training)
