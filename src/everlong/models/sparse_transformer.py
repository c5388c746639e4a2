"""Sparse Transformer (Child et al., 2019, arXiv:1904.10509): attention whose cost grows as n sqrt(n).

    a^n = h^{n-1} + Attention(LN(h^{n-1}))                  h^n = a^n + FF(LN(a^n))
    Attention_t = sum_k softmax_k( rot(q_t) . rot(k_k) / sqrt(e) ) v_k      k over  A1_t,  A2_t  or both (nn.patterns)
    FF(a) = W2 gelu(W1 a + b1) + b2

A document is written in rows of `stride` tokens. A token sees what is near, its row (`fixed`) or the last `stride`
tokens (`strided`), and from each row above some columns: the last ones, which learn to sum up their row, or its own.
With rows of about sqrt(n) tokens that is O(sqrt(n)) keys a token, and two layers connect any two tokens. `heads` says
who sees what: every head both sets in one softmax ("merged"), half of the heads each ("split"), or the layers in turn
("interleaved"); with "fixed", heads have summary columns of their own.

What differs from the paper. Rows and columns count from the beginning of the document, not of the call; what is seen
ends `context` tokens back; a head that sees far columns alone sees itself as well; gelu is exact, for which the paper
has x sigmoid(1.702 x). The paper adds a learned vector for the row and one for the column. Columns are added here too:
they tell a token whether it is a summary. Rows of a stream have no last one, so how far apart tokens are enters by
rotation (Su et al., 2021, arXiv:2104.09864). Its speeds are rounded to whole turns in a million tokens: keys are kept
as they were turned, and remain exact however long the stream. Weights begin four times as large as the paper's and
logits do not begin at zero: what suits 128 layers and weeks costs small models much of their budget.
"""

from typing import Literal, Self

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
from everlong.nn.blocks import FeedForward
from everlong.nn.fixed import Fixed
from everlong.nn.patterns import Kind, Line, Pair, Pattern, View
from everlong.nn.position import Rotary
from everlong.nn.rows import in_rows
from everlong.nn.strided import Strided
from everlong.nn.window import Join, Rings, forget_others
from everlong.shapes import Hidden, Tokens

FF_PIECE = 4096
"""Tokens that go through the feed-forward map together. Of all tokens at once, what is `d_ff` wide would be too large
for memory that the process has used before, and be mapped anew each time."""

PERIOD = 1_000_000
"""Tokens in which every rotation makes a whole number of turns."""


class SparseTransformerConfig(ModelConfig):
    """Sizes of a Sparse Transformer, of its rows and of what it sees of them."""

    n_heads: int = Field(default=4, ge=1)
    d_ff: int = Field(default=1024, ge=1)
    pattern: Literal["fixed", "strided"] = "fixed"
    """Which columns of the rows above are seen: the last ones, as suits text, or the token's own, as suits grids."""
    stride: int = Field(default=64, ge=1)
    """Tokens of a row."""
    context: int = Field(default=1024, ge=1)
    """Tokens of all the rows that a token sees something of, its own row included."""
    summary: int = Field(default=8, ge=1)
    """Columns of each row above that a head sees ("fixed")."""
    sub_blocks: int = Field(default=4, ge=1)
    """How many different summaries a row has; heads take them in turn ("fixed")."""
    heads: Literal["merged", "split", "interleaved"] = "merged"
    """Whether all heads see what is near and what is far, or half of them each, or those of every other layer."""
    rope_base: float = Field(default=10000.0, gt=1.0)

    @model_validator(mode="after")
    def _sizes(self) -> Self:
        require_divides(whole="d_model", by="n_heads", sizes={"d_model": self.d_model, "n_heads": self.n_heads})
        require_divides(whole="context", by="stride", sizes={"context": self.context, "stride": self.stride})
        require_rotates(d_model=self.d_model, n_heads=self.n_heads)
        if self.pattern == "fixed" and self.summary * self.sub_blocks > self.stride:
            raise ValueError(
                f"{self.sub_blocks} sub-blocks of summary={self.summary} columns do not fit into a row of "
                f"stride={self.stride}; give stride={self.summary * self.sub_blocks} or more, or fewer columns."
            )
        if self.heads == "split" and self.n_heads % 2:
            raise ValueError(
                f"n_heads={self.n_heads} cannot be split into two halves; give an even number, or heads=merged."
            )
        if self.heads == "interleaved" and self.n_layers == 1:
            raise ValueError("one layer has none to take turns with; give n_layers=2 or more, or heads=merged.")
        return self

    def kinds(self, layer: int) -> list[tuple[slice, Kind]]:
        """Which heads of a layer see what."""
        every, half = slice(0, self.n_heads), self.n_heads // 2
        if self.heads == "merged":
            return [(every, "both")]
        if self.heads == "split":
            return [(slice(0, half), "near"), (slice(half, self.n_heads), "far")]
        return [(every, "far" if layer % 2 else "near")]

    @property
    def far_heads(self) -> int:
        """Heads that look far, in a layer that has any."""
        return self.n_heads // 2 if self.heads == "split" else self.n_heads

    @property
    def far_layers(self) -> list[int]:
        """Layers in which heads look far."""
        return list(range(1, self.n_layers, 2) if self.heads == "interleaved" else range(self.n_layers))

    @property
    def layout(self) -> Pattern:
        """The pattern with its sizes."""
        above = self.context // self.stride - 1
        if self.pattern == "strided":
            return Strided(stride=self.stride, above=above)
        return Fixed(
            stride=self.stride,
            above=above,
            summary=self.summary,
            sub_blocks=self.sub_blocks,
            heads=self.far_heads,
        )

    @property
    def reach(self) -> int:
        """How many tokens back a prediction can see at most, through all layers."""
        newest = oldest = self.stride - 1
        for layer in reversed(range(self.n_layers)):
            oldest = min(self.layout.oldest(oldest, kind) for _, kind in self.kinds(layer))
        return newest - oldest


@memory_type
class SparseTransformerMemory(Memory):
    """Recent keys and values of every layer; and of the rows above what is seen, where heads look far."""

    position: Int[Tensor, "b"]
    recent: Float[Tensor, "b l r d"]
    """Layer by layer, keys, turned by their positions, and values."""
    shelf: Float[Tensor, "b m s f"]
    """The same of the heads that look far, in the layers that have such: columns of finished rows, oldest row first."""


class SparseTransformerLayer(nn.Module):
    """Attention to what is near and what is far, then a feed-forward map, each normalised first and added."""

    def __init__(self, config: SparseTransformerConfig, rotary: Rotary, *, kinds: list[tuple[slice, Kind]]) -> None:
        super().__init__()
        d = config.d_model
        self.kinds, self.n_heads, self.dropout = kinds, config.n_heads, config.dropout
        self.attention_norm, self.ff_norm = nn.LayerNorm(d), nn.LayerNorm(d)
        self.project = nn.Linear(d, 3 * d, bias=False)
        self.out = nn.Linear(d, d, bias=False)
        self.ff = FeedForward(d_model=d, d_ff=config.d_ff, dropout=0.0, activation=F.gelu)
        self.rotary = rotary

    def forward(
        self,
        x: Hidden,
        past: Pair,
        join: Join,
        shelved: Pair | None,
        angles: Float[Tensor, "b t 2 a"],
        view: View,
    ) -> tuple[Hidden, Pair, Pair | None]:
        """The next hidden states, ring and chunk, and what goes on the shelf if heads look far."""
        query, key, value = self.project(self.attention_norm(x)).unflatten(-1, (3, self.n_heads, -1)).unbind(2)
        query, key = self.rotary(query, angles), self.rotary(key, angles)
        line = (join(past[0], key.flatten(2)), join(past[1], value.flatten(2)))
        finished = None
        seen: list[Tensor] = []
        for heads, kind in self.kinds:
            ours, theirs = query[:, :, heads], self._of(heads, line)
            finished = None if kind == "near" else (view.finished(theirs[0]), view.finished(theirs[1]))
            looks = [_look(ours, line) for line in view.lines(kind, theirs, shelved, finished)]
            seen.append(attend_jointly(looks))
        together = seen[0] if len(seen) == 1 else torch.cat(seen, dim=2)
        a = x + F.dropout(self.out(together.flatten(2)), self.dropout, self.training)
        pieces = [self._fed(piece) for piece in a.flatten(0, 1)[None].split(FF_PIECE, dim=1)]
        after = pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)
        return after.view_as(a), line, finished

    def _fed(self, a: Hidden) -> Hidden:
        return a + F.dropout(self.ff(self.ff_norm(a)), self.dropout, self.training)

    def _of(self, heads: slice, line: Pair) -> Pair:
        """What is some heads'."""
        if heads == slice(0, self.n_heads):
            return line
        keys, values = (part.unflatten(-1, (self.n_heads, -1))[:, :, heads].flatten(2) for part in line)
        return keys, values


def _look(query: Float[Tensor, "b t h e"], line: Line) -> Look:
    key, value = (part.unflatten(-1, query.shape[2:]) for part in line.entries)
    return Look(query=query, key=key, value=value, sight=line.sight)


@register("sparse-transformer", kind="causal")
class SparseTransformer(LanguageModel[SparseTransformerMemory]):
    """Transformer that sees its neighbourhood, and of what lies farther back a column or summaries."""

    Config = SparseTransformerConfig

    def __init__(self, config: SparseTransformerConfig) -> None:
        super().__init__(config)
        c = config
        self.embedding = nn.Embedding(c.vocab_size, c.d_model)
        self.columns = nn.Embedding(c.stride, c.d_model)
        self.rotary = Rotary(width=c.d_model // c.n_heads, base=c.rope_base, period=PERIOD)
        self.layers = nn.ModuleList(
            SparseTransformerLayer(c, self.rotary, kinds=c.kinds(layer)) for layer in range(c.n_layers)
        )
        self.norm = nn.LayerNorm(c.d_model)
        self.head = LinearHead(self.embedding, tied=True)
        for name, parameter in self.named_parameters():
            _init(name, parameter, n_layers=c.n_layers)

    @property
    def config(self) -> SparseTransformerConfig:
        """The config this model was built from."""
        return self._config  # pyright: ignore[reportReturnType]

    def init_memory(self, lanes: int) -> SparseTransformerMemory:
        """Empty rings and shelves in every lane."""
        c = self.config
        far = c.d_model // c.n_heads * c.far_heads
        return SparseTransformerMemory(
            position=torch.zeros(lanes, dtype=torch.int64, device=self.device),
            recent=torch.zeros(lanes, 2 * c.n_layers, c.layout.ring, c.d_model, dtype=self.dtype, device=self.device),
            shelf=torch.zeros(lanes, 2 * len(c.far_layers), c.layout.shelf, far, dtype=self.dtype, device=self.device),
        ).made_by(self)

    def advance(
        self, tokens: Tokens, memory: SparseTransformerMemory, clock: Clock
    ) -> Advance[SparseTransformerMemory]:
        """Read a chunk: hidden states, rings moved on, and finished rows on the shelves."""
        c = self.config
        rows = in_rows(clock, c.stride)
        kinds: list[Kind] = [kind for layer in range(c.n_layers) for _, kind in c.kinds(layer)]
        view = c.layout.view(rows, kinds=kinds)
        angles = self.rotary.angles_of(clock.position, like=memory.recent)
        past = view.past(memory.shelf).unbind(1)
        shelved = dict(zip(c.far_layers, zip(past[::2], past[1::2], strict=True), strict=True))
        x = F.dropout(self.embedding(tokens) + self.columns(rows.column), c.dropout, self.training)
        recent = forget_others(memory.recent, clock=clock)
        rings = Rings(recent, sight=view.ring, clock=clock, in_place=not self.training)
        finished: list[Tensor] = []
        for n, layer in enumerate(self.layers):
            given = (x, (rings.past(2 * n), rings.past(2 * n + 1)), rings.join, shelved.get(n), angles, view)
            x, line, its = run_layer(layer, given, checkpoint=self.recompute and self.training)
            for part in line:
                rings.keep(part[:, -clock.time :])
            finished += its or ()
        after = SparseTransformerMemory(
            position=clock.following,
            recent=rings.after(),
            shelf=rows.shelve(memory.shelf, finished),
        )
        return Advance(hidden=self.norm(x), memory=after, aux={})


def _init(name: str, parameter: nn.Parameter, *, n_layers: int) -> None:
    """N(0, 0.5 / sqrt(fan-in)), and less by sqrt(2 n_layers) where the stream is added to; biases begin at zero."""
    if parameter.ndim == 2:
        adds = name.endswith(("out.weight", "down.weight"))
        nn.init.normal_(parameter, std=0.5 / (parameter.shape[1] * (2 * n_layers if adds else 1)) ** 0.5)
    elif name.endswith("bias"):
        nn.init.zeros_(parameter)
