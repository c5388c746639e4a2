"""Reformer (Kitaev et al., 2020, arXiv:2001.04451) as a causal language model: reversible layers that hash.

    Y1 = X1 + Attention(LN(X2))        Y2 = X2 + FF(LN(Y1))        X1 = X2: the embedding, twice
    hidden = LN([Y1 ; Y2])                                         twice as wide as either
    local     softmax_k( q_t . k_k / sqrt(e) ) v_k                 max(0, t - window) < k <= t
    hashed    softmax_k( q_t . k_k ) v_k,    k = q / |q|           k over B_t, and t itself where B_t is empty
    B_t       in any of `n_hashes` rounds one of the last `bucket_size` tokens of t's bucket, and t - context < k < t
    bucket    argmax [ q R ; -q R ] of a round's fixed Gaussian R

The paper sorts a text by bucket and cuts it into chunks, so that what a token sees depends on all the text, the later
part included; the encoder does so (`reformer-encoder`). Here the same order is read as a band, which nothing that comes
later moves. Time follows `n_hashes` and `bucket_size`, memory follows `context`: keys and values are kept once, with
their buckets of every round, and not once a round.

Positions enter by rotation, after hashing, or by the paper's axial tables, before it. Training keeps no activations but
the last ones, from which it takes each layer back; the buckets are kept, so that it goes back the way it came.
"""

from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from everlong.clock import Clock
from everlong.config import require_divides
from everlong.heads import LinearHead
from everlong.memory import Memory, memory_type
from everlong.models.base import Advance, LanguageModel, ModelConfig
from everlong.models.registry import register
from everlong.nn.attention import attend
from everlong.nn.axial import AxialPositions
from everlong.nn.blocks import FeedForward, init_normal
from everlong.nn.bucket_bands import BucketSight
from everlong.nn.hashing import bucket_of, draw_rotations
from everlong.nn.lsh_attention import attend_alone, attend_hashed
from everlong.nn.position import Rotary
from everlong.nn.replay import decide
from everlong.nn.reversible import run_reversible
from everlong.nn.window import Join, Rings, Sight, forget_others, look_back, push, query_block
from everlong.shapes import Hidden, Tokens

Angles = Float[Tensor, "b t 2 f"] | None


class HashedConfig(ModelConfig):
    """Sizes of reversible layers that hash."""

    n_heads: int = Field(default=4, ge=1)
    d_ff: int = Field(default=1024, ge=1)
    layers: tuple[Literal["local", "lsh"], ...] = Field(default=("local", "lsh"), min_length=1)
    """Kinds of attention, from the lowest layer on and then again from the first kind."""
    n_hashes: int = Field(default=4, ge=1)
    """Rounds of hashing: more find more of what a query looks for."""
    n_buckets: int = Field(default=64, ge=2, le=2**15 - 2)
    """Buckets of a round, an even number."""
    count_duplicates: bool = True
    """Whether a token that two rounds show counts twice (as in the authors' code) or once (as in the paper)."""
    positions: Literal["rotary", "axial"] = "rotary"
    rope_base: float = Field(default=10000.0, gt=1.0)
    axial_shape: tuple[int, int] = (64, 64)
    """Rows of the two tables; positions begin anew after as many as their product."""
    axial_widths: tuple[int, int] | None = None
    """Widths of the two tables; halves if not given."""
    ff_piece: int | None = Field(default=None, ge=1)
    """Tokens that the feed-forward map takes at a time; all if not given."""
    reversible: bool = True
    """Whether training computes activations again instead of keeping them."""
    hash_seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _sizes(self) -> Self:
        require_divides(whole="d_model", by="n_heads", sizes={"d_model": self.d_model, "n_heads": self.n_heads})
        width = self.d_model // self.n_heads
        if self.positions == "rotary" and width % 2:
            raise ValueError(
                f"d_model={self.d_model} and n_heads={self.n_heads} make heads {width} wide, and an odd number of "
                "coordinates has no pairs to rotate; give positions='axial' or other sizes."
            )
        if self.n_buckets % 2:
            raise ValueError(
                f"n_buckets={self.n_buckets} is odd, but each direction and its opposite are buckets; "
                f"give {self.n_buckets + 1}."
            )
        if min(*self.axial_shape, *self.table_widths) < 1 or sum(self.table_widths) != self.d_model:
            raise ValueError(
                f"axial tables of {self.axial_shape} rows and widths {self.table_widths} do not make vectors of "
                f"d_model={self.d_model}; give two widths that add up to it, and rows from 1 up."
            )
        if "lsh" not in self.kinds:
            raise ValueError(
                f"none of n_layers={self.n_layers} with layers={self.layers} hashes; "
                "give layers=('lsh',) or more layers."
            )
        return self

    @property
    def kinds(self) -> tuple[Literal["local", "lsh"], ...]:
        """The kind of every layer."""
        return tuple(self.layers[n % len(self.layers)] for n in range(self.n_layers))

    @property
    def table_widths(self) -> tuple[int, int]:
        """Widths of the two axial tables."""
        return self.axial_widths or (self.d_model // 2, self.d_model - self.d_model // 2)


class ReformerConfig(HashedConfig):
    """Sizes of a Reformer that reads a stream, and of what it keeps."""

    window: int = Field(default=128, ge=1)
    """Tokens that a local layer sees, the current one included."""
    bucket_size: int = Field(default=64, ge=1)
    """Tokens of its bucket that a token sees in each round."""
    context: int = Field(default=2048, ge=1)
    """Tokens out of which they come, the current one included."""

    @property
    def reach(self) -> int:
        """How many tokens back a prediction can see at most, through all layers."""
        return sum((self.window if kind == "local" else self.context) - 1 for kind in self.kinds)

    @property
    def sight(self) -> BucketSight:
        """How much of its buckets a token sees."""
        return BucketSight(
            n_buckets=self.n_buckets,
            bucket_size=self.bucket_size,
            context=self.context,
            count_duplicates=self.count_duplicates,
        )


class Positions(nn.Module):
    """Where tokens stand: added to their vectors (axial), or as angles by which their queries and keys are turned."""

    def __init__(self, config: HashedConfig) -> None:
        super().__init__()
        axial = config.positions == "axial"
        self.axial = AxialPositions(shape=config.axial_shape, widths=config.table_widths) if axial else None
        self.rotary = Rotary(width=config.d_model // config.n_heads, base=config.rope_base)

    def forward(self, x: Hidden, position: Int[Tensor, "b t"]) -> tuple[Hidden, Angles]:
        """Vectors and angles of tokens with these indices in their documents."""
        if self.axial is not None:
            return x + self.axial(position), None
        return x, self.rotary.angles_of(position, like=x)


@memory_type
class ReformerMemory(Memory):
    """Keys and values of the last `window` tokens in local layers, of the last `context` in those that hash."""

    position: Int[Tensor, "b"]
    local: Float[Tensor, "b m w k"]
    """Keys and values, side by side (k = 2d)."""
    hashed: Float[Tensor, "b l s k"]
    buckets: Int[Tensor, "b l s c"]
    """In which bucket of each head and round these are (int16)."""


class LocalProjection(nn.Module):
    """Queries, keys and values."""

    def __init__(self, config: HashedConfig, rotary: Rotary) -> None:
        super().__init__()
        self.n_heads, self.rotary = config.n_heads, rotary
        self.norm = nn.LayerNorm(config.d_model)
        self.project = nn.Linear(config.d_model, 3 * config.d_model, bias=False)

    def forward(
        self, x: Hidden, angles: Angles
    ) -> tuple[Float[Tensor, "b t h e"], Float[Tensor, "b t h e"], Float[Tensor, "b t h e"]]:
        """Queries and keys, turned by where they stand, and values."""
        query, key, value = (part.unflatten(-1, (self.n_heads, -1)) for part in self.project(self.norm(x)).chunk(3, -1))
        if angles is not None:
            query, key = self.rotary(query, angles), self.rotary(key, angles)
        return query, key, value


class LocalAttention(nn.Module):
    """Attention to the last tokens."""

    def __init__(self, config: HashedConfig, rotary: Rotary) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.project = LocalProjection(config, rotary)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)

    def forward(
        self, x: Hidden, past: Float[Tensor, "b s k"], join: Join, sight: Sight, angles: Angles
    ) -> tuple[Hidden, Float[Tensor, "b t k"]]:
        """What is added to the stream, and the chunk's keys and values to remember."""
        query, key, value = self.project(x, angles)
        entry = torch.cat([key, value], dim=2).flatten(2)
        keys, values = (part.unflatten(-1, query.shape[2:]) for part in join(past, entry).chunk(2, dim=-1))
        seen = attend(query, keys, values, sight=sight)
        return F.dropout(self.out(seen.flatten(2)), self.dropout, self.training), entry


class HashedProjection(nn.Module):
    """Queries, which made one long are also the keys; values; and buckets, by rotations that are drawn once."""

    rotations: Float[Tensor, "r h e f"]

    def __init__(self, config: HashedConfig, rotary: Rotary, *, layer: int) -> None:
        super().__init__()
        d, width = config.d_model, config.d_model // config.n_heads
        self.n_heads, self.rotary = config.n_heads, rotary
        self.norm = nn.LayerNorm(d)
        self.project = nn.Linear(d, 2 * d, bias=False)
        rng = torch.Generator().manual_seed(config.hash_seed * config.n_layers + layer)
        rotations = draw_rotations(
            rng, n_hashes=config.n_hashes, n_heads=config.n_heads, width=width, n_buckets=config.n_buckets
        )
        self.register_buffer("rotations", rotations)

    def forward(
        self, x: Hidden, angles: Angles
    ) -> tuple[Float[Tensor, "b t h e"], Float[Tensor, "b t h e"], Float[Tensor, "b t h e"], Int[Tensor, "b h r t"]]:
        """Queries, keys, values and buckets. Positions are no part of what is hashed: the same falls together."""
        query, value = (part.unflatten(-1, (self.n_heads, -1)) for part in self.project(self.norm(x)).chunk(2, dim=-1))
        buckets = decide(lambda: bucket_of(query, self.rotations))
        turned = query if angles is None else self.rotary(query, angles)
        return turned, F.normalize(turned, dim=-1), value, buckets


class HashedAttention(nn.Module):
    """Attention to the last tokens of the same buckets."""

    def __init__(self, config: HashedConfig, rotary: Rotary, *, layer: int) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.project = HashedProjection(config, rotary, layer=layer)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)

    def forward(
        self,
        x: Hidden,
        past: Float[Tensor, "b s k"],
        join: Join,
        held: Int[Tensor, "b g c"],
        clock: Clock,
        sight: BucketSight,
        angles: Angles,
    ) -> tuple[Hidden, tuple[Float[Tensor, "b t k"], Int[Tensor, "b t c"]]]:
        """What is added to the stream; the chunk's keys and values, and their buckets, to remember."""
        query, key, value, buckets = self.project(x, angles)
        entry = torch.cat([key, value], dim=2).flatten(2)
        # Rings have time before all else, so that they can be pushed.
        found = buckets.permute(0, 3, 1, 2).flatten(2)
        line = torch.cat([held, found], dim=1).unflatten(-1, buckets.shape[1:3]).permute(0, 2, 3, 1)
        if clock.time == 1:
            seen = attend_alone(query, join(past, entry), line, clock=clock, sight=sight)
        else:
            seen = attend_hashed(query, key, value, line, past=past, clock=clock, sight=sight)
        return F.dropout(self.out(seen.flatten(2)), self.dropout, self.training), (entry, found)


class FeedForwardBranch(nn.Module):
    """A feed-forward map of one stream that is added to the other."""

    def __init__(self, config: HashedConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.d_model)
        self.ff = FeedForward(d_model=config.d_model, d_ff=config.d_ff, dropout=config.dropout, piece=config.ff_piece)

    def forward(self, x: Hidden) -> tuple[Hidden, None]:
        """What is added to the stream; nothing is left."""
        return self.ff(self.norm(x)), None


@register("reformer", kind="causal")
class Reformer(LanguageModel[ReformerMemory]):
    """Reversible layers that attend to what hashes alike, in time that does not grow with how far back they see."""

    Config = ReformerConfig

    def __init__(self, config: ReformerConfig) -> None:
        super().__init__(config)
        c = config
        self.embedding = nn.Embedding(c.vocab_size, c.d_model)
        self.positions = Positions(c)
        self.branches = nn.ModuleList()
        for n, kind in enumerate(c.kinds):
            rotary = self.positions.rotary
            attention = LocalAttention(c, rotary) if kind == "local" else HashedAttention(c, rotary, layer=n)
            self.branches.extend([attention, FeedForwardBranch(c)])
        self.norm = nn.LayerNorm(2 * c.d_model)
        # As wide as both streams, so it cannot be the embedding's.
        table = nn.Embedding(c.vocab_size, 2 * c.d_model)
        self.head = LinearHead(table, tied=True)
        for part in (self, table):
            part.apply(init_normal)

    @property
    def config(self) -> ReformerConfig:
        """The config this model was built from."""
        return self._config  # pyright: ignore[reportReturnType]

    def init_memory(self, lanes: int) -> ReformerMemory:
        """Empty rings in every lane."""
        c = self.config
        local, hashed = (c.kinds.count(kind) for kind in ("local", "lsh"))
        new = torch.empty(0, dtype=self.dtype, device=self.device)
        return ReformerMemory(
            position=new.new_zeros(lanes, dtype=torch.int64),
            local=new.new_zeros(lanes, local, c.window, 2 * c.d_model),
            hashed=new.new_zeros(lanes, hashed, c.context, 2 * c.d_model),
            buckets=new.new_zeros(lanes, hashed, c.context, c.n_heads * c.n_hashes, dtype=torch.int16),
        ).made_by(self)

    def advance(self, tokens: Tokens, memory: ReformerMemory, clock: Clock) -> Advance[ReformerMemory]:
        """Read a chunk: hidden states, and the rings moved on."""
        c = self.config
        x, angles = self.positions(self.embedding(tokens), clock.position)
        x = F.dropout(x, c.dropout, self.training)
        near = look_back(
            clock, torch.full_like(clock.position, c.window - 1), capacity=c.window, block=query_block(c.window)
        )
        far = Sight(capacity=c.context, oldest=c.context - min(c.context - 1, int(clock.before.max())), blocks=())
        local, hashed = (
            Rings(forget_others(state, clock=clock), sight=sight, clock=clock, in_place=not self.training)
            for state, sight in ((memory.local, near), (memory.hashed, far))
        )
        given: list[tuple[Any, ...]] = []
        for n, kind in enumerate(c.kinds):
            at = c.kinds[:n].count(kind)
            if kind == "local":
                given += [(local.past(at), local.join, near, angles), ()]
            else:
                held = memory.buckets[:, at, far.oldest :]
                given += [(hashed.past(at), hashed.join, held, clock, c.sight, angles), ()]
        replay = self.training and (c.reversible or self.recompute)
        streams, left = run_reversible(list(self.branches), (x, x), given, recompute=replay)
        buckets: list[Tensor] = []
        for kind, leaves in zip(c.kinds, left[::2], strict=True):
            if kind == "local":
                local.keep(leaves)
            else:
                hashed.keep(leaves[0])
                buckets.append(leaves[1])
        after = ReformerMemory(
            position=clock.following,
            local=local.after() if "local" in c.kinds else memory.local,
            hashed=hashed.after(),
            buckets=push(memory.buckets, torch.stack(buckets, dim=1), clock=clock),
        )
        hidden = F.dropout(self.norm(torch.cat(streams, dim=-1)), c.dropout, self.training)
        return Advance(hidden=hidden, memory=after, aux={})
