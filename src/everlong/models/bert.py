"""BERT (Devlin et al., 2019, arXiv:1810.04805): a Transformer that reads in both directions and guesses hidden tokens.

    post    a = LN(x + Attention(x))          x' = LN(a + FF(a))                 as published
    pre     a = x + Attention(LN(x))          x' = a + FF(LN(a))                 and LN at the end: steadier when deep
    FF(a) = W2 gelu(W1 a + b1) + b2

Every token sees every other of its text. Where it stands enters by rotation of queries and keys (RoPE; Su et al., 2021,
arXiv:2104.09864), or, as published, by learned vectors added to the embeddings. Those are `n_positions`, and a longer
text meets them again from the first one on, which is how Longformer lengthens a trained table (Beltagy et al., 2020,
section 5). Segment embeddings and the guess whether one sentence follows another are left out, as RoBERTa found both to
be of no use (Liu et al., 2019).
"""

from typing import Literal, Self

import torch.nn.functional as F
from jaxtyping import Bool
from pydantic import Field, model_validator
from torch import Tensor, nn

from everlong.clock import Clock
from everlong.config import require_divides, require_rotates
from everlong.heads import MaskedTokenHead
from everlong.models.base import ModelConfig, run_layer
from everlong.models.encoder import Encoder, GlobalMask
from everlong.models.registry import register
from everlong.nn.bidirectional import attend_both_sides
from everlong.nn.blocks import FeedForward, init_normal
from everlong.nn.packing import Packing, angles_of_texts, packing
from everlong.nn.position import LearnedPositions, Rotary
from everlong.shapes import Hidden, Tokens


class BertLayerConfig(ModelConfig):
    """Sizes of BERT's layers, and where their norms stand."""

    n_heads: int = Field(default=4, ge=1)
    d_ff: int = Field(default=1024, ge=1)
    norm: Literal["pre", "post"] = "pre"
    norm_eps: float = Field(default=1e-5, gt=0.0)
    """Added to the variance that a norm divides by; 1e-12 as published."""
    rope_base: float = Field(default=10000.0, gt=1.0)

    @model_validator(mode="after")
    def _heads(self) -> Self:
        require_divides(whole="d_model", by="n_heads", sizes={"d_model": self.d_model, "n_heads": self.n_heads})
        return self


class BertConfig(BertLayerConfig):
    """Sizes of a BERT, and how it knows positions."""

    positions: Literal["rotary", "learned"] = "rotary"
    n_positions: int = Field(default=512, ge=1)
    """Learned positions; a longer text meets them again."""

    @model_validator(mode="after")
    def _rotated(self) -> Self:
        if self.positions == "rotary":
            require_rotates(d_model=self.d_model, n_heads=self.n_heads, otherwise=", or choose positions='learned'")
        return self


class BertLayer(nn.Module):
    """Attention to the whole text, then a feed-forward map, each added to the stream that is normed before or after."""

    def __init__(self, config: BertLayerConfig, rotary: Rotary | None) -> None:
        super().__init__()
        d = config.d_model
        self.n_heads, self.dropout, self.pre_norm = config.n_heads, config.dropout, config.norm == "pre"
        self.attention_norm, self.ff_norm = (nn.LayerNorm(d, eps=config.norm_eps) for _ in range(2))
        self.project = nn.Linear(d, 3 * d)
        self.out = nn.Linear(d, d)
        self.ff = FeedForward(d_model=d, d_ff=config.d_ff, dropout=config.dropout, activation=F.gelu)
        self.rotary = rotary

    def add_nothing(self) -> None:
        """Leave the stream as it is, but for norms after it, until training says what to add."""
        for last in (self.out, self.ff.down):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: Hidden, valid: Bool[Tensor, "b t"] | Packing | None) -> Hidden:
        """The next hidden states."""
        if self.pre_norm:
            x = x + self._attend(self.attention_norm(x), valid)
            return x + self.ff(self.ff_norm(x))
        x = self.attention_norm(x + self._attend(x, valid))
        return self.ff_norm(x + self.ff(x))

    def _attend(self, x: Hidden, valid: Bool[Tensor, "b t"] | Packing | None) -> Hidden:
        d, weight, bias = x.shape[-1], self.project.weight, self.project.bias
        # Values apart: in one piece with them, queries and keys would be kept from before they were turned.
        both, value = (F.linear(x, weight[part], bias[part]) for part in (slice(2 * d), slice(2 * d, None)))
        query, key, value = (part.unflatten(-1, (self.n_heads, -1)) for part in (*both.chunk(2, dim=-1), value))
        del both
        if self.rotary is not None:
            angles = angles_of_texts(self.rotary, x, valid)
            query, key = self.rotary(query, angles), self.rotary(key, angles)
        dropout = self.dropout if self.training else 0.0
        seen = attend_both_sides(query, key, value, valid=valid, dropout=dropout)
        return F.dropout(self.out(seen.flatten(2)), self.dropout, self.training)


@register("bert", kind="encoder")
class Bert(Encoder):
    """Dense bidirectional Transformer that learns from hidden tokens."""

    Config = BertConfig

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size + 1, config.d_model)
        rotates = config.positions == "rotary"
        rotary = Rotary(width=config.d_model // config.n_heads, base=config.rope_base) if rotates else None
        self.places = None if rotates else LearnedPositions(config.n_positions, config.d_model)
        self.layers = nn.ModuleList(BertLayer(config, rotary) for _ in range(config.n_layers))
        # Before the first layer where layers end with a norm, after the last one where they begin with one.
        self.norm = nn.LayerNorm(config.d_model, eps=config.norm_eps)
        self.head = MaskedTokenHead(self.embedding, norm_eps=config.norm_eps)
        self.apply(init_normal)

    @property
    def config(self) -> BertConfig:
        """The config this encoder was built from."""
        return self._config  # pyright: ignore[reportReturnType]

    def encode(self, tokens: Tokens, clock: Clock, global_mask: GlobalMask | None) -> Hidden:
        """Hidden states of all tokens."""
        del global_mask
        pre_norm, packed = self.config.norm == "pre", packing(clock)
        x = self.embedding(tokens)
        x = x if self.places is None else self.places.added_to(x)
        x = self._dropped(x if pre_norm else self.norm(x))
        x, valid = (x, clock.valid) if packed is None else (packed.pack(x), packed)
        for layer in self.layers:
            x = run_layer(layer, (x, valid), checkpoint=self.recompute and self.training)
        x = self._dropped(self.norm(x)) if pre_norm else x
        return x if packed is None else packed.unpack(x)

    def _dropped(self, x: Hidden) -> Hidden:
        return F.dropout(x, self.config.dropout, self.training)
