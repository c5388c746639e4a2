"""Longformer (Beltagy et al., 2020, arXiv:2004.05150) as a causal language model: bands, dilated bands, pinned tokens.

    a^n = h^{n-1} + Attention(LN(h^{n-1}))          h^n = a^n + FF(LN(a^n))
    Attention_t = sum_k softmax_k( rot(q_t) . rot(k_k) / sqrt(e) ) v_k        k over  B_t  and  G_t \\ B_t
    B_t = { t - i d : 0 <= i < w }  within t's document        a window of w tokens, d apart: w by layer, d by head
    G_t = the first `n_global` tokens of t's document          seen by all later ones, in the same softmax, once

Time and memory follow the windows. As the paper finds best, windows may grow from the lowest layer to the highest, and
some heads of high layers may look farther with gaps (section 4.1). Its language model has no global tokens, since a
token cannot see what is to come; here the beginning of a document is global to all that follows it, as the sinks of
StreamingLLM are (Xiao et al., 2024, arXiv:2309.17453). A window keeps distances; a pinned token outside of it stands,
for all who look, directly before the layer's widest window, so token ten million is as exact as token ten.
"""

from typing import Self

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from everlong.clock import Clock
from everlong.config import require_divides, require_rotates
from everlong.heads import LinearHead
from everlong.memory import Memory, memory_type
from everlong.models.base import Advance, LanguageModel, ModelConfig, run_layer
from everlong.models.registry import register
from everlong.nn.blocks import FeedForward, init_normal
from everlong.nn.pinned_rings import Band, PinnedRings, View
from everlong.nn.position import Rotary
from everlong.shapes import Hidden, Tokens

PerLayer = int | tuple[int, ...]
PerHead = int | tuple[int | tuple[int, ...], ...]

FF_PIECE = 4096
"""Tokens that the feed-forward map takes at a time: what a long chunk costs should be its windows, not wide maps."""


class BandedConfig(ModelConfig):
    """Sizes of a Transformer whose layers look through windows."""

    n_heads: int = Field(default=4, ge=1)
    d_ff: int = Field(default=1024, ge=1)
    window: PerLayer = 256
    dilation: PerHead = 1
    """How many tokens apart a head sees: one number for all, or for every layer one, or for every layer one a head."""
    rope_base: float = Field(default=10000.0, gt=1.0)

    @model_validator(mode="after")
    def _sizes(self) -> Self:
        require_divides(whole="d_model", by="n_heads", sizes={"d_model": self.d_model, "n_heads": self.n_heads})
        require_rotates(d_model=self.d_model, n_heads=self.n_heads)
        for name in ("window", "dilation"):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != self.n_layers:
                raise ValueError(
                    f"{name}={value} is for {len(value)} layers, but n_layers={self.n_layers}; "
                    "give one number for all layers, or one entry for each."
                )
        for layer, (window, dilations) in enumerate(zip(self.windows, self.dilations, strict=True)):
            if len(dilations) != self.n_heads:
                raise ValueError(
                    f"dilation gives layer {layer} {len(dilations)} numbers, but n_heads={self.n_heads}; "
                    "give one for all heads, or one for each."
                )
            if min(window, *dilations) < 1:
                raise ValueError(
                    f"layer {layer} has window={window} and dilation={dilations}; the least that either can be is 1."
                )
        return self

    @property
    def windows(self) -> tuple[int, ...]:
        """The window of every layer."""
        return self.window if isinstance(self.window, tuple) else (self.window,) * self.n_layers

    @property
    def dilations(self) -> tuple[tuple[int, ...], ...]:
        """The dilation of every head of every layer."""
        layers = self.dilation if isinstance(self.dilation, tuple) else (self.dilation,) * self.n_layers
        return tuple(layer if isinstance(layer, tuple) else (layer,) * self.n_heads for layer in layers)


class LongformerConfig(BandedConfig):
    """Sizes of a causal Longformer, of its windows and of what it pins."""

    window: PerLayer = 256
    """Tokens that a head sees, the current one included: one number for all layers, or one for each."""
    n_global: int = Field(default=4, ge=0)
    """First tokens of a document, which all of its later tokens see."""

    @property
    def bands(self) -> list[Band]:
        """How each layer looks back."""
        layers = zip(self.windows, self.dilations, strict=True)
        return [Band(window=window, dilations=dilations) for window, dilations in layers]

    @property
    def reach(self) -> int | None:
        """How many tokens back a prediction can see at most; ``None`` where it sees the beginning from anywhere."""
        return sum(band.reach for band in self.bands) if self.n_global == 0 else None


@memory_type
class LongformerMemory(Memory):
    """Keys and values of the first `n_global` tokens, and of as many recent ones as each layer's window reaches."""

    position: Int[Tensor, "b"]
    state: Float[Tensor, "b s k"]
    """Layer by layer, pins and then ring: keys, not rotated, and values, side by side (k = 2d)."""


class LongformerLayer(nn.Module):
    """Attention to band and pins, then a feed-forward map, each on a normalised input and added to the stream."""

    def __init__(self, config: LongformerConfig) -> None:
        super().__init__()
        d = config.d_model
        self.n_heads, self.dropout = config.n_heads, config.dropout
        self.attention_norm, self.ff_norm = nn.LayerNorm(d), nn.LayerNorm(d)
        self.project = nn.Linear(d, 3 * d, bias=False)
        self.out = nn.Linear(d, d, bias=False)
        self.ff = FeedForward(d_model=d, d_ff=config.d_ff, dropout=config.dropout, piece=FF_PIECE)

    def forward(
        self, x: Hidden, slots: Float[Tensor, "b s 2*d"], view: View
    ) -> tuple[Hidden, Float[Tensor, "b t 2*d"]]:
        """The next hidden states, and this chunk's keys and values to remember."""
        query, entry = self.project(self.attention_norm(x)).split([x.shape[-1], 2 * x.shape[-1]], dim=-1)
        query = query.unflatten(-1, (self.n_heads, -1))
        seen = view.read(query, slots, entry, dropout=self.dropout if self.training else 0.0)
        x = x + F.dropout(self.out(seen.flatten(2)), self.dropout, self.training)
        return x + self.ff(self.ff_norm(x)), entry


@register("longformer", kind="causal")
class Longformer(LanguageModel[LongformerMemory]):
    """Transformer with sliding and dilated windows that always sees how its document began."""

    Config = LongformerConfig

    def __init__(self, config: LongformerConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.rotary = Rotary(width=config.d_model // config.n_heads, base=config.rope_base)
        self.layers = nn.ModuleList(LongformerLayer(config) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(config.d_model)
        self.head = LinearHead(self.embedding, tied=True)
        self.apply(init_normal)

    @property
    def config(self) -> LongformerConfig:
        """The config this model was built from."""
        return self._config  # pyright: ignore[reportReturnType]

    def init_memory(self, lanes: int) -> LongformerMemory:
        """Empty pins and rings in every lane."""
        c = self.config
        slots = sum(c.n_global + band.capacity for band in c.bands)
        return LongformerMemory(
            position=torch.zeros(lanes, dtype=torch.int64, device=self.device),
            state=torch.zeros(lanes, slots, 2 * c.d_model, dtype=self.dtype, device=self.device),
        ).made_by(self)

    def advance(self, tokens: Tokens, memory: LongformerMemory, clock: Clock) -> Advance[LongformerMemory]:
        """Read a chunk: hidden states, the windows moved on, and what begins a document pinned."""
        c = self.config
        rings = PinnedRings(
            memory.state, bands=c.bands, count=c.n_global, clock=clock, rotary=self.rotary, in_place=not self.training
        )
        x = F.dropout(self.embedding(tokens), c.dropout, self.training)
        for layer, slots, view in zip(self.layers, rings.slots, rings.views, strict=True):
            x, entries = run_layer(layer, (x, slots, view), checkpoint=self.recompute and self.training)
            rings.keep(entries)
        hidden = F.dropout(self.norm(x), c.dropout, self.training)
        after = LongformerMemory(position=clock.following, state=rings.after())
        return Advance(hidden=hidden, memory=after, aux={})
