"""The Transformer's decoder (Vaswani et al., 2017, arXiv:1706.03762, section 3.1), which looks at a source.

    post    a = LN(x + Attention(x))     c = LN(a + Source(a))        x' = LN(c + FF(c))      as published
    pre     a = x + Attention(LN(x))     c = a + Source(LN(a))        x' = c + FF(LN(c))      and LN at the end
    Attention_t = sum_k softmax_k( q_t . k_k / sqrt(e) ) v_k          max(0, t - context) < k <= t
    Source_t    = sum_j softmax_j( q_t . k_j / sqrt(e) ) v_j          j over the real tokens of the source

Keys and values of the source are projected once, by `read`. Its own tokens the decoder remembers as `transformer` does,
in a ring of keys and values. Positions are encodings added to the embeddings, as published, or rotations of queries and
keys among tokens of one side (RoPE; Su et al., 2021, arXiv:2104.09864); neither ends anywhere. Embeddings are
multiplied by sqrt(d), and the output shares the target's (section 3.4).

What encodes the source is the heir's business.
"""

import math
from collections.abc import Mapping
from typing import ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from everlong.clock import Clock
from everlong.config import require_divides, require_rotates
from everlong.heads import LinearHead
from everlong.memory import memory_type
from everlong.models.base import Advance, ModelConfig, run_layer
from everlong.models.seq2seq import Seq2Seq, SourceMemory
from everlong.nn.attention import attend
from everlong.nn.bidirectional import attend_to_source
from everlong.nn.blocks import FeedForward, init_normal
from everlong.nn.position import Rotary, sinusoids
from everlong.nn.window import Join, Rings, Sight, forget_others, look_back, query_block
from everlong.shapes import Hidden, Tokens


class SourceDecoderConfig(ModelConfig):
    """Sizes of an encoder-decoder of Transformers; `n_layers` is of each of the two."""

    n_heads: int = Field(default=4, ge=1)
    d_ff: int = Field(default=1024, ge=1)
    context: int = Field(default=256, ge=1)
    """Tokens of its own that each layer of the decoder sees, the current one included."""
    norm: Literal["pre", "post"] = "pre"
    positions: Literal["sinusoidal", "rotary"] = "sinusoidal"
    rope_base: float = Field(default=10000.0, gt=1.0)
    shared_embedding: bool = True
    """Whether source and target tokens have one table of embeddings."""

    @model_validator(mode="after")
    def _widths(self) -> Self:
        require_divides(whole="d_model", by="n_heads", sizes={"d_model": self.d_model, "n_heads": self.n_heads})
        if self.d_model % 2:
            raise ValueError(f"d_model={self.d_model} must be even: half of a position's encoding are cosines.")
        if self.positions == "rotary":
            require_rotates(d_model=self.d_model, n_heads=self.n_heads, otherwise=", or choose positions='sinusoidal'")
        return self

    @property
    def reach(self) -> int:
        """How many tokens of its own text a prediction can see at most; of the source it sees all."""
        return self.n_layers * (self.context - 1)


@memory_type
class SourceDecoderMemory(SourceMemory):
    """Keys and values of the source, and of the last `context` tokens, in every layer."""

    position: Int[Tensor, "b"]
    source_length: Int[Tensor, "b"]
    source: Float[Tensor, "b l u k"]
    """Keys, then values, of the source, side by side (k = 2d)."""
    state: Float[Tensor, "b l s k"]
    """Keys, not rotated, then values, of the decoder's own tokens."""

    source_axes: ClassVar[Mapping[str, int]] = {"source": 2}


class SourceDecoderLayer(nn.Module):
    """Attention to the decoder's own tokens, attention to the source, and a feed-forward map."""

    def __init__(self, config: SourceDecoderConfig, rotary: Rotary) -> None:
        super().__init__()
        d = config.d_model
        self.n_heads, self.dropout, self.pre_norm = config.n_heads, config.dropout, config.norm == "pre"
        self.attention_norm, self.source_norm, self.ff_norm = nn.LayerNorm(d), nn.LayerNorm(d), nn.LayerNorm(d)
        self.project, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.ask, self.keep, self.source_out = nn.Linear(d, d), nn.Linear(d, 2 * d), nn.Linear(d, d)
        self.ff = FeedForward(d_model=d, d_ff=config.d_ff, dropout=config.dropout)
        self.rotary = rotary

    def forward(
        self,
        x: Hidden,
        past: Float[Tensor, "b s 2*d"],
        join: Join,
        angles: Float[Tensor, "r 2 f"] | None,
        sight: Sight,
        source: Float[Tensor, "b u 2*d"],
        lengths: Int[Tensor, "b"] | None,
    ) -> tuple[Hidden, Float[Tensor, "b t 2*d"]]:
        """The next hidden states, and this chunk's keys and values to remember."""
        if self.pre_norm:
            seen, entry = self._look_back(self.attention_norm(x), past, join, angles, sight)
            x = x + seen
            x = x + self._look_at(self.source_norm(x), source, lengths)
            return x + self.ff(self.ff_norm(x)), entry
        seen, entry = self._look_back(x, past, join, angles, sight)
        x = self.attention_norm(x + seen)
        x = self.source_norm(x + self._look_at(x, source, lengths))
        return self.ff_norm(x + self.ff(x)), entry

    def _look_back(
        self, x: Hidden, past: Tensor, join: Join, angles: Tensor | None, sight: Sight
    ) -> tuple[Hidden, Float[Tensor, "b t 2*d"]]:
        query, entry = self.project(x).split([x.shape[-1], 2 * x.shape[-1]], dim=-1)
        key, value = (self._heads(part) for part in join(past, entry).chunk(2, dim=-1))
        query = self._heads(query)
        if angles is not None:
            query, key = self.rotary(query, angles[-x.shape[1] :]), self.rotary(key, angles)
        seen = attend(query, key, value, sight=sight, dropout=self.dropout if self.training else 0.0)
        return F.dropout(self.out(seen.flatten(2)), self.dropout, self.training), entry

    def _look_at(self, x: Hidden, source: Float[Tensor, "b u 2*d"], lengths: Int[Tensor, "b"] | None) -> Hidden:
        dropout = self.dropout if self.training else 0.0
        seen = attend_to_source(self._heads(self.ask(x)), source, lengths=lengths, dropout=dropout)
        return F.dropout(self.source_out(seen.flatten(2)), self.dropout, self.training)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_heads, -1))


class SourceDecoder(Seq2Seq[SourceDecoderMemory]):
    """A Transformer decoder, and the embeddings of both sides."""

    def __init__(self, config: SourceDecoderConfig) -> None:
        super().__init__(config)
        d = config.d_model
        self.embedding = nn.Embedding(config.vocab_size, d)
        self.source_embedding = None if config.shared_embedding else nn.Embedding(config.vocab_size, d)
        self.rotary = Rotary(width=d // config.n_heads, base=config.rope_base)
        self.layers = nn.ModuleList(SourceDecoderLayer(config, self.rotary) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(d) if config.norm == "pre" else nn.Identity()
        self.head = LinearHead(self.embedding, tied=True)

    @property
    def config(self) -> SourceDecoderConfig:
        """The config this model was built from."""
        return self._config  # pyright: ignore[reportReturnType]

    def init_weights(self) -> None:
        """Draw all weights anew, those of embeddings so that a scaled one has entries of size 1."""
        self.apply(init_normal)
        for table in (self.embedding, self.source_embedding):
            if table is not None:
                nn.init.normal_(table.weight, std=self.config.d_model**-0.5)

    def init_memory(self, lanes: int, *, source_slots: int = 0) -> SourceDecoderMemory:
        """An empty window, and room for a source, in every lane."""
        c = self.config
        zeros = torch.zeros(lanes, c.n_layers, 0, 2 * c.d_model, dtype=self.dtype, device=self.device)
        return SourceDecoderMemory(
            position=torch.zeros(lanes, dtype=torch.int64, device=self.device),
            source_length=torch.zeros(lanes, dtype=torch.int64, device=self.device),
            source=zeros.new_zeros(lanes, c.n_layers, source_slots, 2 * c.d_model),
            state=zeros.new_zeros(lanes, c.n_layers, c.context, 2 * c.d_model),
        ).made_by(self)

    def keep(self, hidden: Hidden) -> Mapping[str, Tensor]:
        """Keys and values of the source in every layer of the decoder."""
        return {"source": torch.stack([layer.keep(hidden) for layer in self.layers], dim=1)}  # pyright: ignore[reportCallIssue]

    def embed_source(self, source: Tokens) -> Hidden:
        """Embeddings of source tokens with their positions."""
        table = self.embedding if self.source_embedding is None else self.source_embedding
        return self._embed(table, source, torch.arange(source.shape[1], device=source.device)[None])

    def advance(self, tokens: Tokens, memory: SourceDecoderMemory, clock: Clock) -> Advance[SourceDecoderMemory]:
        """Read a chunk: hidden states, and the window moved on."""
        capacity = self.config.context
        reach = torch.full_like(clock.position, capacity - 1)
        sight = look_back(clock, reach, capacity=capacity, block=query_block(capacity))
        state = forget_others(memory.state, clock=clock, oldest=sight.oldest)
        lengths = None if memory.source_padding() is None else memory.source_length
        rotates = self.config.positions == "rotary"
        angles = self.rotary.angles(capacity - sight.oldest + clock.time, like=state) if rotates else None
        x = self._embed(self.embedding, tokens, clock.position)
        rings = Rings(state, sight=sight, clock=clock, in_place=not self.training)
        # Unbound at once: a slice for each layer would have a gradient as large as all of them.
        for n, (layer, source) in enumerate(zip(self.layers, memory.source.unbind(dim=1), strict=True)):
            given = (x, rings.past(n), rings.join, angles, sight, source, lengths)
            x, entries = run_layer(layer, given, checkpoint=self.recompute and self.training)
            rings.keep(entries)
        hidden = F.dropout(self.norm(x), self.config.dropout, self.training)
        after = SourceDecoderMemory(
            position=clock.following,
            source_length=memory.source_length,
            source=memory.source,
            state=rings.after(),
        )
        return Advance(hidden=hidden, memory=after, aux={})

    def _embed(self, table: nn.Embedding, tokens: Tokens, position: Int[Tensor, "#b t"]) -> Hidden:
        x = table(tokens) * math.sqrt(self.config.d_model)
        if self.config.positions == "sinusoidal":
            x = x + sinusoids(position, width=self.config.d_model, like=x)
        return F.dropout(x, self.config.dropout, self.training)
