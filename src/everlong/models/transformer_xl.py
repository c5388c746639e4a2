"""Transformer-XL (Dai et al., 2019, arXiv:1901.02860): segment recurrence with relative positions.

    line    = [ m^{n-1} ; h^{n-1} ]                                    m: hidden states of earlier tokens
    q       = h^{n-1} Wq        k, v = line Wk, line Wv                queries from the chunk, keys from the line
    A_tk    = ( (q_t + u) . k_k + (q_t + w) . (R_{t-k} Wr) ) / sqrt(e)
    a^n     = LN( h^{n-1} + softmax(A) v Wo )        h^n = LN( a^n + FF(a^n) )

A token sees its own segment so far and `mem_len` tokens before that segment began. Segments lie on the document's own
grid, not on the caller's chunks, so results do not depend on how the stream was cut; chunks equal to segments reproduce
the paper's computation. With `same_length` every token sees exactly `mem_len` tokens, itself included.

While training, a memory holds hidden states, which every call projects anew with today's weights. While evaluating, it
holds their keys and values, which cannot change any more, so that a new token costs O(window d + d^2).
"""

from typing import Literal, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from everlong.clock import Clock
from everlong.config import require_divides
from everlong.errors import MemoryMismatch
from everlong.heads import AdaptiveEmbedding, AdaptiveHead, LinearHead
from everlong.memory import Memory, memory_type
from everlong.models.base import Advance, LanguageModel, ModelConfig, run_layer
from everlong.models.registry import register
from everlong.nn.blocks import FeedForward
from everlong.nn.position import Sinusoids
from everlong.nn.relative import attend_relative, attend_relative_few
from everlong.nn.window import Join, Rings, Sight, forget_others, look_back
from everlong.shapes import Hidden, Tokens


class TransformerXLConfig(ModelConfig):
    """Sizes of a Transformer-XL, of its segments and of its memory."""

    n_heads: int = Field(default=4, ge=1)
    d_ff: int = Field(default=1024, ge=1)
    segment: int = Field(default=256, ge=1)
    """Tokens of the document's grid: a token sees its own segment so far."""
    mem_len: int = Field(default=256, ge=0)
    """Tokens seen before the segment began; with `same_length`, tokens seen in all."""
    same_length: bool = False
    clamp_len: int = Field(default=0, ge=0)
    """Distances above this one are encoded like it; 0 encodes every distance as it is."""
    norm: Literal["post", "pre"] = "post"
    tied_biases: bool = True
    """Whether all layers share the biases u and w."""
    attention_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    cutoffs: tuple[int, ...] = ()
    """Ends of the frequency clusters of an adaptive vocabulary; empty for a plain one."""
    div_val: int = Field(default=1, ge=1)
    """Each rarer cluster has vectors this many times narrower."""

    @model_validator(mode="after")
    def _sizes(self) -> Self:
        require_divides(whole="d_model", by="n_heads", sizes={"d_model": self.d_model, "n_heads": self.n_heads})
        if self.d_model % 2:
            raise ValueError(f"d_model={self.d_model} must be even: half of a distance's encoding are sines.")
        if self.same_length and self.mem_len == 0:
            raise ValueError("same_length with mem_len=0 would see nothing; give mem_len=1 or more.")
        edges = (0, *self.cutoffs, self.vocab_size)
        if list(edges) != sorted(set(edges)):
            raise ValueError(f"cutoffs {self.cutoffs} must rise and lie between 0 and vocab_size={self.vocab_size}.")
        if self.div_val > 1 and (not self.cutoffs or self.d_model // self.div_val ** len(self.cutoffs) == 0):
            raise ValueError(f"div_val={self.div_val} leaves no width to the last of {len(self.cutoffs) + 1} clusters.")
        return self

    @property
    def capacity(self) -> int:
        """Slots of the ring: what the last token of a segment sees, itself included."""
        return self.mem_len if self.same_length else self.mem_len + self.segment

    @property
    def reach(self) -> int:
        """How many tokens back a prediction can see at most, through all layers."""
        if self.same_length:
            return self.n_layers * (self.mem_len - 1)
        newest = oldest = self.segment - 1
        for _ in range(self.n_layers):
            oldest = oldest // self.segment * self.segment - self.mem_len
        return newest - oldest


@memory_type
class TransformerXLMemory(Memory):
    """Keys and values (in training: hidden states) of the last `mem_len` and `segment` tokens in every layer."""

    position: Int[Tensor, "b"]
    state: Float[Tensor, "b l s k"]
    """Layer inputs (k = d) while training; their keys and values side by side (k = 2d) while evaluating."""


class TransformerXLLayer(nn.Module):
    """Relative attention over memory and chunk, then a feed-forward map, each added to the stream and normalised."""

    def __init__(self, config: TransformerXLConfig) -> None:
        super().__init__()
        d = config.d_model
        self.config = config
        self.project = nn.Linear(d, 3 * d, bias=False)
        self.project_distance = nn.Linear(d, d, bias=False)
        self.out = nn.Linear(d, d, bias=False)
        self.attention_norm, self.ff_norm = nn.LayerNorm(d), nn.LayerNorm(d)
        self.ff = FeedForward(d_model=d, d_ff=config.d_ff, dropout=config.dropout)

    def remember(self, hidden: Float[Tensor, "b s d"]) -> Float[Tensor, "b s 2*d"]:
        """Keys and values of remembered layer inputs, side by side."""
        hidden = self.attention_norm(hidden) if self.config.norm == "pre" else hidden
        return F.linear(hidden, self.project.weight[hidden.shape[-1] :])

    def forward(
        self,
        x: Hidden,
        past: Float[Tensor, "b s k"],
        join: Join,
        encoding: Float[Tensor, "r d"],
        biases: tuple[Float[Tensor, "h e"], Float[Tensor, "h e"]],
        sight: Sight,
    ) -> tuple[Hidden, Float[Tensor, "b t k"]]:
        """The next hidden states, and what to remember of this chunk."""
        c = self.config
        pre = c.norm == "pre"
        query, entry = self.project(self.attention_norm(x) if pre else x).split([c.d_model, 2 * c.d_model], dim=-1)
        line = join(self.remember(past) if self.training else past, entry)
        key, value = (part.unflatten(-1, (c.n_heads, -1)) for part in line.chunk(2, dim=-1))
        seen = self._attend(query.unflatten(-1, (c.n_heads, -1)), key, value, encoding, biases, sight)
        a = x + F.dropout(self.out(seen.flatten(2)), c.dropout, self.training)
        if pre:
            return a + self.ff(self.ff_norm(a)), (x if self.training else entry)
        a = self.attention_norm(a)
        return self.ff_norm(a + self.ff(a)), (x if self.training else entry)

    def _attend(
        self,
        query: Float[Tensor, "b t h e"],
        key: Float[Tensor, "b s h e"],
        value: Float[Tensor, "b s h e"],
        encoding: Float[Tensor, "r d"],
        biases: tuple[Float[Tensor, "h e"], Float[Tensor, "h e"]],
        sight: Sight,
    ) -> Float[Tensor, "b t h e"]:
        u, w = biases
        lanes, time, heads, _ = query.shape
        # Projecting every distance costs s d^2; carrying the projection to the queries costs b t h s d.
        if not self.training and len(sight.blocks) == 1 and lanes * time * heads <= self.config.d_model:
            return attend_relative_few(
                query,
                key,
                value,
                encoding,
                self.project_distance.weight,
                content_bias=u,
                distance_bias=w,
                sight=sight,
            )
        distance = self.project_distance(encoding).unflatten(-1, (heads, -1))
        return attend_relative(
            query,
            key,
            value,
            distance,
            content_bias=u,
            distance_bias=w,
            sight=sight,
            dropout=self.config.attention_dropout if self.training else 0.0,
        )


@register("transformer-xl", kind="causal")
class TransformerXL(LanguageModel[TransformerXLMemory]):
    """Transformer that keeps the hidden states of earlier segments and scores them by relative distance."""

    Config = TransformerXLConfig

    def __init__(self, config: TransformerXLConfig) -> None:
        super().__init__(config)
        c, d = config, config.d_model
        if c.cutoffs:
            self.embedding: nn.Module = AdaptiveEmbedding(
                vocab_size=c.vocab_size, d_embed=d, d_model=d, cutoffs=c.cutoffs, div_val=c.div_val
            )
            self.head = AdaptiveHead(self.embedding)
        else:
            self.embedding = nn.Embedding(c.vocab_size, d)
            self.head = LinearHead(self.embedding, tied=True)
        self.distances = Sinusoids(width=d, clamp=c.clamp_len)
        self.layers = nn.ModuleList(TransformerXLLayer(c) for _ in range(c.n_layers))
        sets = 1 if c.tied_biases else c.n_layers
        self.content_bias = nn.Parameter(torch.empty(sets, c.n_heads, d // c.n_heads))
        self.distance_bias = nn.Parameter(torch.empty(sets, c.n_heads, d // c.n_heads))
        self.norm = nn.LayerNorm(d) if c.norm == "pre" else nn.Identity()
        for name, parameter in self.named_parameters():
            _init(name, parameter)

    @property
    def config(self) -> TransformerXLConfig:
        """The config this model was built from."""
        return self._config  # pyright: ignore[reportReturnType]

    def init_memory(self, lanes: int) -> TransformerXLMemory:
        """An empty memory in the form of the model's mode: hidden states in training, keys and values in evaluation."""
        c = self.config
        width = c.d_model if self.training else 2 * c.d_model
        return TransformerXLMemory(
            position=torch.zeros(lanes, dtype=torch.int64, device=self.device),
            state=torch.zeros(lanes, c.n_layers, c.capacity, width, dtype=self.dtype, device=self.device),
        ).made_by(self)

    def adopt(self, memory: TransformerXLMemory) -> TransformerXLMemory:
        """Keys and values instead of hidden states, where an evaluating model is given a training memory.

        Raises:
            MemoryMismatch: a training model is given keys and values, which hidden states cannot be had from.
        """
        width = memory.state.shape[-1]
        if self.training and width == 2 * self.config.d_model:
            raise MemoryMismatch(
                "this memory holds the keys and values of an evaluating model, training needs hidden states. "
                "Read the text again after model.train(), or call model.eval() first."
            )
        of_ours = memory.state.shape[1] == self.config.n_layers and memory.state.dtype == self.dtype
        if self.training or width != self.config.d_model or not of_ours:
            return memory
        state = torch.stack([layer.remember(memory.state[:, n]) for n, layer in enumerate(self.layers)], dim=1)  # pyright: ignore[reportCallIssue]
        return TransformerXLMemory(position=memory.position, state=state)

    def advance(self, tokens: Tokens, memory: TransformerXLMemory, clock: Clock) -> Advance[TransformerXLMemory]:
        """Read a chunk: hidden states, and the memory moved on."""
        c = self.config
        into = clock.position % c.segment
        reach = torch.full_like(into, c.mem_len - 1) if c.same_length else into + c.mem_len
        sight = look_back(clock, reach, capacity=c.capacity)
        state = forget_others(memory.state, clock=clock)
        encoding = self.distances(c.capacity - sight.oldest + clock.time, like=state)
        encoding = F.dropout(encoding, c.dropout, self.training)
        x = self.embedding(tokens)
        x = F.dropout(x if c.cutoffs else x * c.d_model**0.5, c.dropout, self.training)
        rings = Rings(state, sight=sight, clock=clock, in_place=not self.training)
        for n, layer in enumerate(self.layers):
            biases = (self.content_bias[0 if c.tied_biases else n], self.distance_bias[0 if c.tied_biases else n])
            given = (x, rings.past(n), rings.join, encoding, biases, sight)
            x, entries = run_layer(layer, given, checkpoint=self.recompute and self.training)
            rings.keep(entries)
        hidden = F.dropout(self.norm(x), c.dropout, self.training)
        after = TransformerXLMemory(position=clock.following, state=rings.after())
        return Advance(hidden=hidden, memory=after, aux={})


def _init(name: str, parameter: nn.Parameter) -> None:
    """The authors' initialisation: N(0, 0.02) for weights, N(1, 0.02) for norms, N(0, 0.01) to project tokens."""
    if "norm" in name and name.endswith("weight"):
        nn.init.normal_(parameter, mean=1.0, std=0.02)
    elif (name.endswith("bias") and parameter.ndim == 1) or "biases" in name:
        nn.init.zeros_(parameter)
    else:
        nn.init.normal_(parameter, std=0.01 if "projections" in name else 0.02)
