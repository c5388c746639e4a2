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

from typing import Self

import torch
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor

from everlong.clock import Clock
from everlong.memory import Memory, memory_type
from everlong.models.base import Advance, run_layer
from everlong.models.registry import register
from everlong.models.relative import Biases, RelativeConfig, RelativeLayer, RelativeModel
from everlong.nn.window import Join, Rings, Sight, forget_others, look_back
from everlong.shapes import Hidden, Tokens


class TransformerXLConfig(RelativeConfig):
    """Sizes of a Transformer-XL, of its segments and of its memory."""

    mem_len: int = Field(default=256, ge=0)
    """Tokens seen before the segment began; with `same_length`, tokens seen in all."""
    same_length: bool = False

    @model_validator(mode="after")
    def _sees_something(self) -> Self:
        if self.same_length and self.mem_len == 0:
            raise ValueError("same_length with mem_len=0 would see nothing; give mem_len=1 or more.")
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


class TransformerXLLayer(RelativeLayer):
    """Relative attention over memory and chunk, then a feed-forward map, each added to the stream and normalised."""

    def forward(
        self,
        x: Hidden,
        past: Float[Tensor, "b s k"],
        join: Join,
        encoding: Float[Tensor, "r d"],
        biases: Biases,
        sight: Sight,
    ) -> tuple[Hidden, Float[Tensor, "b t k"]]:
        """The next hidden states, and what to remember of this chunk."""
        query, entry = self.ask(x)
        line = join(self.remember(past) if self.training else past, entry)
        seen = self.attend(query, line, self.relation(x, encoding, biases), sight)
        return self.settle(x, seen), (x if self.training else entry)


@register("transformer-xl", kind="causal")
class TransformerXL(RelativeModel[TransformerXLMemory]):
    """Transformer that keeps the hidden states of earlier segments and scores them by relative distance."""

    Config = TransformerXLConfig

    @property
    def config(self) -> TransformerXLConfig:
        """The config this model was built from."""
        return self._config  # pyright: ignore[reportReturnType]

    def make_layer(self, config: TransformerXLConfig) -> TransformerXLLayer:
        """A layer of this architecture."""
        return TransformerXLLayer(config)

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
        if not self.must_project(memory.state):
            return memory
        return TransformerXLMemory(position=memory.position, state=self.projected(memory.state))

    def advance(self, tokens: Tokens, memory: TransformerXLMemory, clock: Clock) -> Advance[TransformerXLMemory]:
        """Read a chunk: hidden states, and the memory moved on."""
        c = self.config
        into = clock.position % c.segment
        reach = torch.full_like(into, c.mem_len - 1) if c.same_length else into + c.mem_len
        sight = look_back(clock, reach, capacity=c.capacity)
        state = forget_others(memory.state, clock=clock)
        encoding = self.drop(self.distances(c.capacity - sight.oldest + clock.time, like=state))
        x = self.embed(tokens)
        rings = Rings(state, sight=sight, clock=clock, in_place=not self.training)
        for n, layer in enumerate(self.layers):
            given = (x, rings.past(n), rings.join, encoding, self.biases(n), sight)
            x, entries = run_layer(layer, given, checkpoint=self.recompute and self.training)
            rings.keep(entries)
        after = TransformerXLMemory(position=clock.following, state=rings.after())
        return Advance(hidden=self.drop(self.norm(x)), memory=after, aux={})
