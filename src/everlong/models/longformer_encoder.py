"""Longformer (Beltagy et al., 2020, arXiv:2004.05150) as an encoder: windows to both sides, and global tokens.

    pre     a = x + Attention(LN(x))          x' = a + FF(LN(a))          FF(a) = W2 gelu(W1 a + b1) + b2
    post    a = LN(x + Attention(x))          x' = LN(a + FF(a))          as in BERT, and as published
    local     o_t = softmax over  { keys of the global tokens }  and  { keys of t's window that are not global }
    global    o_t = softmax over all tokens, with q', k', v' of projections of their own           (section 3.1)

A token sees half a window to each side, d tokens apart where a head is dilated. Tokens marked by ``global_mask`` see
the whole text and are seen by all of it: mark the first token of a text to classify it, every token of a question to
answer it, and none to guess hidden tokens or to tag (sections 4 and 5). A local token meets global ones by the local
projections, in one softmax with its window; what global attention finds takes the place of what local attention found.

Time and memory follow the windows and the number of global tokens. The published encoder has learned positions, which
end somewhere; a longer text meets them again. Here queries and keys are rotated unless learned positions are asked for,
since the true distance is known for all pairs, global or not. With the same sizes, norms and positions, `bert` has the
same weights but for the global projections, and computes the same wherever a window covers the text.
"""

from dataclasses import dataclass
from typing import Literal, Self

import torch
import torch.nn.functional as F
from jaxtyping import Bool
from pydantic import Field, model_validator
from torch import Tensor, nn

from everlong.clock import Clock, tick
from everlong.heads import MaskedTokenHead
from everlong.models.base import run_layer
from everlong.models.encoder import Encoder, GlobalMask
from everlong.models.longformer import FF_PIECE, BandedConfig, PerLayer
from everlong.models.registry import register
from everlong.nn.around import GlobalTokens, look_around, one_after_another
from everlong.nn.attention import Look, attend_jointly
from everlong.nn.bidirectional import attend_both_sides
from everlong.nn.blocks import FeedForward, init_normal
from everlong.nn.packing import Packing, angles_of_texts, packing
from everlong.nn.pinned_rings import head_groups
from everlong.nn.position import LearnedPositions, Rotary
from everlong.nn.window import Sight, query_block, together
from everlong.shapes import Hidden, Tokens


class LongformerLayerConfig(BandedConfig):
    """Sizes of a Longformer encoder's layers and of their windows, and where their norms stand."""

    window: PerLayer = 256
    """Width of the window, half of it to each side: one number for all layers, or one for each."""
    norm: Literal["pre", "post"] = "pre"
    norm_eps: float = Field(default=1e-5, gt=0.0)
    """Added to the variance that a norm divides by."""

    @model_validator(mode="after")
    def _halves(self) -> Self:
        for layer, window in enumerate(self.windows):
            if window % 2:
                raise ValueError(
                    f"window={window} of layer {layer} cannot be halved, and half of it is seen to each side; "
                    f"give {window + 1}."
                )
        return self

    @property
    def reach(self) -> int:
        """How many tokens to each side all layers together see, where no token is global."""
        layers = zip(self.windows, self.dilations, strict=True)
        return sum(window // 2 * max(dilations) for window, dilations in layers)


class LongformerEncoderConfig(LongformerLayerConfig):
    """Sizes of a Longformer encoder, and how it knows positions."""

    positions: Literal["rotary", "learned"] = "rotary"
    n_positions: int = Field(default=4096, ge=1)
    """Learned positions; a longer text meets them again."""


@dataclass(frozen=True, kw_only=True)
class View:
    """What the tokens of a layer see."""

    valid: Bool[Tensor, "b t"] | Packing | None
    """Which of them are real, or how their texts are packed; ``None`` when all are real."""
    band: Sight
    those: GlobalTokens | None


class LongformerEncoderLayer(nn.Module):
    """Local and global attention, then a feed-forward map, each added to the stream that is normed before or after."""

    def __init__(self, config: LongformerLayerConfig, rotary: Rotary | None) -> None:
        super().__init__()
        d = config.d_model
        self.n_heads, self.dropout, self.pre_norm = config.n_heads, config.dropout, config.norm == "pre"
        self.attention_norm, self.ff_norm = (nn.LayerNorm(d, eps=config.norm_eps) for _ in range(2))
        self.project = nn.Linear(d, 3 * d)
        self.project_global = nn.Linear(d, 3 * d)
        self.out = nn.Linear(d, d)
        self.ff = FeedForward(d_model=d, d_ff=config.d_ff, dropout=config.dropout, activation=F.gelu, piece=FF_PIECE)
        self.rotary = rotary

    def forward(self, x: Hidden, view: View) -> Hidden:
        """The next hidden states."""
        if self.pre_norm:
            x = x + self._attend(self.attention_norm(x), view)
            return x + self.ff(self.ff_norm(x))
        x = self.attention_norm(x + self._attend(x, view))
        return self.ff_norm(x + self.ff(x))

    def _attend(self, h: Hidden, view: View) -> Hidden:
        query, key, value = (self._heads(part) for part in self.project(h).chunk(3, dim=-1))
        if self.rotary is not None:
            angles = angles_of_texts(self.rotary, h, view.valid)
            query, key = self.rotary(query, angles), self.rotary(key, angles)
        looks, those = [Look(query=query, key=key, value=value, sight=view.band)], view.those
        if those is not None:
            looks.append(Look(query=query, key=those.drawn(key), value=those.drawn(value), sight=those.sight))
        seen = attend_jointly(looks, dropout=self._dropped)
        if those is not None:
            seen = those.put(seen, self._see_all(h, view, those))
        return F.dropout(self.out(seen.flatten(2)), self.dropout, self.training)

    def _see_all(self, h: Hidden, view: View, those: GlobalTokens) -> Tensor:
        """What the global tokens see ``[b g h e]``."""
        d = h.shape[-1]
        weight, bias = self.project_global.weight, self.project_global.bias
        query = self._heads(F.linear(those.drawn(h), weight[:d], bias[:d]))
        key, value = (self._heads(part) for part in F.linear(h, weight[d:], bias[d:]).chunk(2, dim=-1))
        if self.rotary is not None:
            angles = angles_of_texts(self.rotary, h, view.valid)
            query, key = self.rotary(query, angles[those.index]), self.rotary(key, angles)
        if not isinstance(view.valid, Packing):
            return attend_both_sides(query, key, value, valid=view.valid, dropout=self._dropped)
        parts = (query.split(those.counts, 1), *(x.split(view.valid.lengths, 1) for x in (key, value)))
        texts = [text for text in zip(*parts, strict=True) if text[0].shape[1]]
        return torch.cat([attend_both_sides(*text, valid=None, dropout=self._dropped) for text in texts], dim=1)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_heads, -1))

    @property
    def _dropped(self) -> float:
        return self.dropout if self.training else 0.0


@register("longformer-encoder", kind="encoder")
class LongformerEncoder(Encoder):
    """Bidirectional Transformer with windows to both sides, and global tokens that see and are seen by all."""

    Config = LongformerEncoderConfig
    has_global_tokens = True
    idle_weights = True

    def __init__(self, config: LongformerEncoderConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size + 1, config.d_model)
        rotates = config.positions == "rotary"
        rotary = Rotary(width=config.d_model // config.n_heads, base=config.rope_base) if rotates else None
        self.places = None if rotates else LearnedPositions(config.n_positions, config.d_model)
        self.layers = nn.ModuleList(LongformerEncoderLayer(config, rotary) for _ in range(config.n_layers))
        # Before the first layer where layers end with a norm, after the last one where they begin with one.
        self.norm = nn.LayerNorm(config.d_model, eps=config.norm_eps)
        self.head = MaskedTokenHead(self.embedding, norm_eps=config.norm_eps)
        self.apply(init_normal)
        self.copy_local_projections()

    @property
    def config(self) -> LongformerEncoderConfig:
        """The config this encoder was built from."""
        return self._config  # pyright: ignore[reportReturnType]

    def copy_local_projections(self) -> None:
        """Let global tokens project as others do.

        So they begin, and so they had better begin again once training without global tokens, which leaves their
        projections as they were, has moved those of all others (section 5).
        """
        for layer in self.layers:
            layer.project_global.load_state_dict(layer.project.state_dict())  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]

    def encode(self, tokens: Tokens, clock: Clock, global_mask: GlobalMask | None) -> Hidden:
        """Hidden states of all tokens."""
        c, packed = self.config, packing(clock)
        pre_norm = c.norm == "pre"
        x = self.embedding(tokens)
        x = x if self.places is None else self.places.added_to(x)
        x = F.dropout(x if pre_norm else self.norm(x), c.dropout, self.training)
        x = x if packed is None else packed.pack(x)
        for layer, view in zip(self.layers, views(c, clock, packed, global_mask), strict=True):
            x = run_layer(layer, (x, view), checkpoint=self.recompute and self.training)
        x = F.dropout(self.norm(x), c.dropout, self.training) if pre_norm else x
        return x if packed is None else packed.unpack(x)


def views(
    config: LongformerLayerConfig, clock: Clock, packed: Packing | None, global_mask: GlobalMask | None
) -> list[View]:
    """What every layer's tokens see, of texts side by side or packed; layers of equal windows share it."""
    layers = list(zip(config.windows, config.dilations, strict=True))
    if packed is None:
        those = None if global_mask is None else GlobalTokens(global_mask)
        bands = {shape: look_around_by_head(clock, *shape, absent=global_mask) for shape in set(layers)}
        return [View(valid=clock.valid, band=bands[shape], those=those) for shape in layers]
    marks = None if global_mask is None else packed.pack(global_mask)
    those = None if marks is None else GlobalTokens(marks, packed.lengths)
    absent = [None] * len(packed.lengths) if marks is None else marks.split(packed.lengths, dim=1)
    texts = [tick(clock.before[:1], time=length, starts=None, lengths=None) for length in packed.lengths]
    bands = {
        shape: one_after_another(
            [look_around_by_head(text, *shape, absent=part) for text, part in zip(texts, absent, strict=True)],
            packed.lengths,
        )
        for shape in set(layers)
    }
    return [View(valid=packed, band=bands[shape], those=those) for shape in layers]


def look_around_by_head(clock: Clock, window: int, dilations: tuple[int, ...], *, absent: GlobalMask | None) -> Sight:
    """Who sees whom through a layer's windows; `absent` tokens are seen elsewhere."""
    side, block = window // 2, query_block(window)
    return together(
        *(
            look_around(clock, side=side, block=block, dilation=dilation, heads=heads, absent=absent)
            for heads, dilation in head_groups(dilations)
        )
    )
