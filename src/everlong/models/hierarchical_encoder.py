"""Hierarchical attention Transformer (HAT; Chalkidis et al., 2022, arXiv:2210.05529) as an encoder of long texts.

    section      [ c ; x_1 … x_m ]                      a learned vector c, then the section's tokens
    S            BERT layer over each section by itself, the same weights for all
    D            BERT layer over the vectors of a text's sections, which are put back where they were

`layout` says in which order, and is repeated until there are `n_layers`: "SD" is the paper's interleaved I1, "SSD" its
I3, and a layout as long as the model may leave all D to the end. Cost follows the sections' lengths, plus the square of
how many there are. Tokens of one section learn of another from the vectors alone, one S after a D.

Inside a section, rotation says how far apart two tokens are (the paper has learned positions), and between sections how
many lie between. A text is summed up as the mean of its sections' vectors.

The first S may be another encoder, `inside`, trained before or not (everlong.models.inside):

    section      [ v ; h_1 … h_m ]      v = pool(x_1 … x_m), h = encoder(x_1 … x_m), the section read as if alone

and `n_layers` others follow it. "SDD" is then ToBERT (Pappagari et al., 2019, arXiv:1910.10781): D alone, for what is
told of a whole text. "SDS" is Hi-Transformer (Wu et al., 2021, arXiv:2106.01040), in which tokens, too, learn of their
document: each section is read again beside what D made of its vector. What the encoder returns is normed already, so
there is no norm but those of the layers. Where these begin with one, S adds nothing at birth: hidden tokens are guessed
as the encoder guesses them, section by section, until training finds what to add.
"""

from collections.abc import Iterable
from typing import Any, Self

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import model_validator
from torch import Tensor, nn

from everlong.clock import Clock
from everlong.config import require_rotates
from everlong.heads import MaskedTokenHead
from everlong.models.base import run_layer
from everlong.models.bert import BertLayer, BertLayerConfig
from everlong.models.encoder import Encoder, GlobalMask, Sections
from everlong.models.inside import SHARED, InsideConfig, read_whole
from everlong.models.registry import register
from everlong.models.sectioned import SectionedConfig, SectionedEncoder
from everlong.nn.blocks import init_normal
from everlong.nn.pooling import pool_evenly
from everlong.nn.position import Rotary
from everlong.nn.sections import Layout
from everlong.nn.stretches import Part, Stretches, by_bucket, give, take
from everlong.shapes import Hidden, Tokens


class HierarchyConfig(BertLayerConfig, SectionedConfig):
    """Sizes of layers over sections and across them, and their order."""

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


class HierarchicalEncoderConfig(HierarchyConfig, InsideConfig):
    """Sizes of a hierarchical encoder, the order of its layers, and maybe an encoder in the place of the first one."""

    @property
    def kinds(self) -> str:
        """S or D, for every layer; an encoder inside is none of them."""
        first = 0 if self.inside is None else 1
        return (self.layout * (self.n_layers + 1))[first : first + self.n_layers]


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

    def read_by(self, encoder: Encoder, tokens: Int[Tensor, "m"]) -> Float[Tensor, "k d"]:
        """The line of what an encoder makes of each section: its vector and its hidden states."""
        if not len(tokens):
            return torch.zeros(0, encoder.config.d_model, dtype=encoder.dtype, device=tokens.device)
        # The place of a vector is held by some token that is not read.
        line = tokens.new_zeros(len(self.vectors) + len(tokens)).index_copy(0, self.tokens, tokens)
        read: list[Part] = []
        for bucket in self.items.buckets:
            real = None if bucket.real is None else bucket.real[:, 1:]
            read.append((bucket.items, bucket.real, read_whole(encoder, take(line, bucket.items)[:, 1:], real)))
        # In the precision of the weights, as the layers after it keep their stream.
        return give(read).to(encoder.dtype)


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
        self.inside = config.new_encoder()
        if self.inside is None:
            self.embedding = nn.Embedding(config.vocab_size + 1, config.d_model)
            self.vector = nn.Parameter(torch.randn(config.d_model) * 0.02)
        rotary = Rotary(width=config.d_model // config.n_heads, base=config.rope_base)
        layers = [BertLayer(config, rotary) for _ in config.kinds]
        self.layers = nn.ModuleList(layers)
        if self.inside is None:
            # Before the first layer where layers end with a norm, after the last one where they begin with one.
            self.norm = nn.LayerNorm(config.d_model, eps=config.norm_eps)
            self.head = MaskedTokenHead(self.embedding, norm_eps=config.norm_eps)
            self.apply(init_normal)
        else:
            # Drawn as PyTorch does it: beside what comes in normed, BERT's small weights would hide one section from
            # another for long (docs/log.md).
            self.head = self.inside.head
            for kind, layer in zip(config.kinds, layers, strict=True):
                if kind == "S":
                    layer.add_nothing()

    @classmethod
    def around(cls, encoder: Encoder, **fields: Any) -> Self:
        """A hierarchical encoder whose sections are read by a copy of this encoder, trained or converted before.

        >>> HierarchicalEncoder.around(everlong.convert(folder).model, layout="SDS", n_layers=2)

        Args:
            encoder: of the registry; it stays as it is.
            fields: of the config, `dropout` among them; other sizes of the encoder are as they are.

        Raises:
            ConfigError: a field does not fit, or the encoder is none that reads a text in one piece.
        """
        theirs = encoder.config.model_dump(mode="json")
        given = {"inside": encoder.architecture, **{name: theirs[name] for name in SHARED}}
        # Dropout is no property of the weights.
        del theirs["dropout"]
        config = HierarchicalEncoderConfig.parse({**given, "inside_config": theirs, **fields})
        model = cls(config).to(device=encoder.device, dtype=encoder.dtype)
        assert model.inside is not None
        model.inside.load_state_dict(encoder.state_dict())
        return model.train(encoder.training)

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
        on_line = layout.drawn(tokens)
        if self.inside is not None:
            self.inside.recompute = self.recompute
            return self._through_layers(line.read_by(self.inside, on_line), line)
        pre_norm = self.config.norm == "pre"
        x = line.made(self.vector, self.embedding(on_line))
        x = self._through_layers(self._dropped(x if pre_norm else self.norm(x)), line)
        return self._dropped(self.norm(x)) if pre_norm else x

    def _through_layers(self, x: Float[Tensor, "k d"], line: Line) -> Float[Tensor, "k d"]:
        layers = zip(self.config.kinds, self.layers, strict=True)
        return run_hierarchy(x, line, layers, checkpoint=self.recompute and self.training)

    def _dropped(self, x: Float[Tensor, "k d"]) -> Float[Tensor, "k d"]:
        return F.dropout(x, self.config.dropout, self.training)
