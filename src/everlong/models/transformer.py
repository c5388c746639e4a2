"""Transformer (Vaswani et al., 2017, arXiv:1706.03762) as a causal language model with a window of keys and values.

    a^n = h^{n-1} + Attention(LN(h^{n-1}))          h^n = a^n + FF(LN(a^n))
    Attention_t = sum_k softmax_k( rot_t(q_t) . rot_k(k_k) / sqrt(e) ) v_k       max(0, t - context) < k <= t

Positions enter by rotation alone (RoPE; Su et al., 2021, arXiv:2104.09864), so scores depend on differences of
positions. The ring keeps keys as they were before rotation and each call rotates the line by its own indices: token
ten million is as exact as token ten.
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
from everlong.nn.attention import Look, attend_jointly
from everlong.nn.blocks import FeedForward, init_normal
from everlong.nn.position import Rotary
from everlong.nn.window import Join, Rings, Sight, forget_others, look_back, query_block
from everlong.shapes import Hidden, Tokens


class RotaryConfig(ModelConfig):
    """Sizes of Transformer layers whose heads are rotated."""

    n_heads: int = Field(default=4, ge=1)
    d_ff: int = Field(default=1024, ge=1)
    rope_base: float = Field(default=10000.0, gt=1.0)

    @model_validator(mode="after")
    def _sizes(self) -> Self:
        require_divides(whole="d_model", by="n_heads", sizes={"d_model": self.d_model, "n_heads": self.n_heads})
        require_rotates(d_model=self.d_model, n_heads=self.n_heads)
        return self


class TransformerConfig(RotaryConfig):
    """Sizes of a Transformer and of its window."""

    context: int = Field(default=256, ge=1)
    """Tokens that each layer sees, the current one included."""

    @property
    def reach(self) -> int:
        """How many tokens back a prediction can see at most, through all layers."""
        return self.n_layers * (self.context - 1)


@memory_type
class TransformerMemory(Memory):
    """The keys and values of the last `context` tokens in every layer."""

    position: Int[Tensor, "b"]
    state: Float[Tensor, "b l s k"]
    """Keys, not rotated, then values, side by side (k = 2d)."""


class RotaryLayer(nn.Module):
    """Attention by rotated queries and keys, then a feed-forward map, each on a normalised input and added."""

    def __init__(self, config: RotaryConfig, rotary: Rotary) -> None:
        super().__init__()
        d = config.d_model
        self.n_heads, self.dropout = config.n_heads, config.dropout
        self.attention_norm, self.ff_norm = nn.LayerNorm(d), nn.LayerNorm(d)
        self.project = nn.Linear(d, 3 * d, bias=False)
        self.out = nn.Linear(d, d, bias=False)
        self.ff = FeedForward(d_model=d, d_ff=config.d_ff, dropout=config.dropout)
        self.rotary = rotary

    def ask(self, x: Hidden) -> tuple[Float[Tensor, "b t h e"], Float[Tensor, "b t 2*d"]]:
        """Queries of a chunk, not rotated, and its keys and values side by side."""
        query, entry = self.project(self.attention_norm(x)).split([x.shape[-1], 2 * x.shape[-1]], dim=-1)
        return query.unflatten(-1, (self.n_heads, -1)), entry

    def look(
        self,
        query: Float[Tensor, "b t h e"],
        line: Float[Tensor, "b u k"],
        angles: Float[Tensor, "u 2 f"],
        sight: Sight,
    ) -> Look:
        """What a chunk asks of a line that it is the end of."""
        key, value = (part.unflatten(-1, (self.n_heads, -1)) for part in line.chunk(2, dim=-1))
        query = self.rotary(query, angles[-query.shape[1] :])
        return Look(query=query, key=self.rotary(key, angles), value=value, sight=sight)

    def settle(self, x: Hidden, looks: list[Look]) -> Hidden:
        """The next hidden states."""
        seen = attend_jointly(looks, dropout=self.dropout if self.training else 0.0)
        x = x + F.dropout(self.out(seen.flatten(2)), self.dropout, self.training)
        return x + self.ff(self.ff_norm(x))


class TransformerLayer(RotaryLayer):
    """Attention over the window, then a feed-forward map, each on a normalised input and added to the stream."""

    def forward(
        self, x: Hidden, past: Float[Tensor, "b s 2*d"], join: Join, angles: Float[Tensor, "r 2 f"], sight: Sight
    ) -> tuple[Hidden, Float[Tensor, "b t 2*d"]]:
        """The next hidden states, and this chunk's keys and values to remember."""
        query, entry = self.ask(x)
        return self.settle(x, [self.look(query, join(past, entry), angles, sight)]), entry


@register("transformer", kind="causal")
class Transformer(LanguageModel[TransformerMemory]):
    """Dense causal Transformer with rotary positions and a window of keys and values."""

    Config = TransformerConfig

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.rotary = Rotary(width=config.d_model // config.n_heads, base=config.rope_base)
        self.layers = nn.ModuleList(TransformerLayer(config, self.rotary) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(config.d_model)
        self.head = LinearHead(self.embedding, tied=True)
        self.apply(init_normal)

    @property
    def config(self) -> TransformerConfig:
        """The config this model was built from."""
        return self._config  # pyright: ignore[reportReturnType]

    def init_memory(self, lanes: int) -> TransformerMemory:
        """An empty window in every lane."""
        c = self.config
        return TransformerMemory(
            position=torch.zeros(lanes, dtype=torch.int64, device=self.device),
            state=torch.zeros(lanes, c.n_layers, c.context, 2 * c.d_model, dtype=self.dtype, device=self.device),
        ).made_by(self)

    def advance(self, tokens: Tokens, memory: TransformerMemory, clock: Clock) -> Advance[TransformerMemory]:
        """Read a chunk: hidden states, and the window moved on."""
        capacity = self.config.context
        reach = torch.full_like(clock.position, capacity - 1)
        sight = look_back(clock, reach, capacity=capacity, block=query_block(capacity))
        state = forget_others(memory.state, clock=clock)
        angles = self.rotary.angles(capacity - sight.oldest + clock.time, like=state)
        x = F.dropout(self.embedding(tokens), self.config.dropout, self.training)
        rings = Rings(state, sight=sight, clock=clock, in_place=not self.training)
        for n, layer in enumerate(self.layers):
            given = (x, rings.past(n), rings.join, angles, sight)
            x, entries = run_layer(layer, given, checkpoint=self.recompute and self.training)
            rings.keep(entries)
        hidden = F.dropout(self.norm(x), self.config.dropout, self.training)
        after = TransformerMemory(position=clock.following, state=rings.after())
        return Advance(hidden=hidden, memory=after, aux={})
