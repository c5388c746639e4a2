"""Compressive Transformer (Rae et al., 2020, arXiv:1911.05507): a Transformer-XL that compresses what it would forget.

    mem     = layer inputs h of the segment so far and of `mem_len` tokens before it                    word for word
    cmem    = f_c(h) of the blocks of `compression_rate` tokens before those                            `cmem_len` slots
    a       = LN( h + attention(h, [cmem; mem]) )           relative, as in Transformer-XL; a slot takes one place
    h'      = LN( a + FF(a) )

    f_c     = max, mean, convolution or dilated convolution of a block, in each layer its own; or the most used tokens

Attention reconstruction (the paper's Algorithm 2) trains a convolution to stand in for what it replaces: what a segment
reads, by content, from the tokens that leave the memory when it ends, it should read from their slots. While training,
this loss or that of auto-encoding reaches nothing but the convolution, and the language model's loss does not reach it.
With ``reconstruction="none"`` that one trains it, as far back as the caller leaves the memory attached.

The paper compresses `segment` tokens of its memory at a time, counted from the call. Here blocks lie on the document's
own grid (everlong.nn.segments), and a slot is made when its block is complete and seen when that block has left the
recent memory: chunks equal to segments reproduce the paper's Algorithm 1, and any others give the same results. Ours
are two details that the paper leaves open: a dilated convolution reaches into the block before its own, and the usage
by which tokens are kept is the attention they receive, from all heads, in the segments after their own.

While training, a memory holds hidden states; while evaluating, keys and values (see everlong.models.transformer_xl).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor

from everlong.clock import Clock
from everlong.config import require_divides
from everlong.memory import Memory, memory_type
from everlong.models.base import Advance, run_layer
from everlong.models.registry import register
from everlong.models.relative import Biases, Relation, RelativeConfig, RelativeLayer, RelativeModel
from everlong.nn.compression import (
    Compression,
    Compressor,
    attention_reconstruction,
    auto_encoding,
    blocks_of,
    context_of,
    has_weights,
    most_used,
)
from everlong.nn.relative import attend_relative_counting, attend_relative_few_counting
from everlong.nn.segments import Grid, NewBlocks, Run, Runs, between, in_order, join, new_blocks, runs_of, split
from everlong.nn.window import forget_others, push
from everlong.shapes import Hidden, Tokens


class CompressiveTransformerConfig(RelativeConfig):
    """Sizes of a Compressive Transformer, of its segments and of its two memories."""

    cmem_len: int = Field(default=256, ge=1)
    """Slots seen before the recent memory."""
    compression_rate: int = Field(default=4, ge=1)
    """Tokens for which one slot stands."""
    compression: Compression = "conv"
    reconstruction: Literal["attention", "auto-encoding", "none"] = "attention"
    """The loss that trains a compression with weights; with none, the language model's does."""

    @model_validator(mode="after")
    def _sizes(self) -> Self:
        if self.compression == "identity" and self.compression_rate != 1:
            raise ValueError(
                f"identity keeps every token, so compression_rate={self.compression_rate} cannot be; "
                "give compression_rate=1, or a compression that is one."
            )
        if self.own_loss == "attention" and self.mem_len < self.segment:
            raise ValueError(
                "attention reconstruction compares what a segment reads from the tokens that leave when it ends, so "
                f"mem_len={self.mem_len} must be segment={self.segment} at least; or give reconstruction=auto-encoding."
            )
        if self.compression == "most-used":
            sizes = {n: getattr(self, n) for n in ("segment", "mem_len", "compression_rate")}
            require_divides(whole="segment", by="compression_rate", sizes=sizes)
            require_divides(whole="mem_len", by="segment", sizes=sizes)
            if self.mem_len == 0:
                raise ValueError(f"most-used needs a memory in which tokens are used; give mem_len={self.segment}.")
        return self

    @property
    def own_loss(self) -> Literal["attention", "auto-encoding", "none"]:
        """The loss of the memory itself: `reconstruction`, where the compression has weights to train."""
        return self.reconstruction if has_weights(self.compression) else "none"

    @property
    def context(self) -> int:
        """Tokens before its block that a slot is made of too."""
        return context_of(self.compression, rate=self.compression_rate)

    @property
    def grid(self) -> Grid:
        """What a token sees of its document."""
        return Grid(
            segment=self.segment,
            mem_len=self.mem_len,
            cmem_len=self.cmem_len,
            rate=self.compression_rate,
            at_once=self.compression == "most-used",
        )

    @property
    def capacity(self) -> int:
        """Entries of the ring of recent tokens."""
        return self.grid.recent + self.context

    @property
    def waiting(self) -> tuple[int, int]:
        """What compression needs besides, entries and their width: inputs of an unfinished block, or use of tokens."""
        if self.compression == "most-used":
            return self.capacity, 1
        return self.compression_rate - 1 + self.context, self.d_model

    @property
    def reach(self) -> int | None:
        """How many tokens back a prediction can see at most, through all layers.

        Nothing bounds it with most-used compression: what is kept depends on what was attended to, as far back as ever.
        """
        return None if self.grid.at_once else self.grid.reach(layers=self.n_layers, context=self.context)


@memory_type
class CompressiveTransformerMemory(Memory):
    """The last `mem_len` and `segment` tokens, and before them `cmem_len` slots for `compression_rate` tokens each."""

    position: Int[Tensor, "b"]
    recent: Float[Tensor, "b l s k"]
    """Layer inputs (k = d) while training; their keys and values side by side (k = 2d) while evaluating."""

    compressed: Float[Tensor, "b l c k"]
    """Slots, as `recent`: those in sight, and those whose block has not left the recent memory yet."""

    waiting: Float[Tensor, "b l w x"]
    """What compression needs: layer inputs (x = d) of an unfinished block; or (x = 1) how much tokens were used."""


class Held(NamedTuple):
    """What a layer remembers of what someone sees."""

    recent: Float[Tensor, "b s k"]
    compressed: Float[Tensor, "b c k"]
    waiting: Float[Tensor, "b w x"]


class Left(NamedTuple):
    """What a layer leaves of a chunk."""

    hidden: Hidden
    recent: Float[Tensor, "b t k"]
    made: Float[Tensor, "b m k"]
    waiting: Float[Tensor, "b w x"]
    loss: Float[Tensor, ""] | None


class Line(NamedTuple):
    """What can be seen: slots, recent tokens, and the chunk."""

    slots: Float[Tensor, "b c k"]
    past: Float[Tensor, "b s k"]
    chunk: Float[Tensor, "b t k"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What all layers do with a chunk."""

    clock: Clock
    runs: Runs
    past: int
    """Recent tokens that someone sees, or that a slot is made of."""

    new: NewBlocks | None
    """The blocks that the chunk completes; ``None`` where there are none."""

    @classmethod
    def of(cls, clock: Clock, config: CompressiveTransformerConfig) -> Self:
        """The plan for a chunk."""
        runs = runs_of(clock, config.grid)
        by_block = runs.width > 0 and config.compression != "most-used"
        return cls(
            clock=clock,
            runs=runs,
            past=min(config.capacity, runs.past + config.context),
            new=new_blocks(clock, runs, rate=config.compression_rate, context=config.context) if by_block else None,
        )


class CompressiveLayer(RelativeLayer):
    """Relative attention over both memories and the chunk, then a feed-forward map; and a slot for every block."""

    def __init__(self, config: CompressiveTransformerConfig) -> None:
        super().__init__(config)
        self.rate, self.context, self.own_loss = config.compression_rate, config.context, config.own_loss
        self.compressor = Compressor(
            width=config.d_model,
            rate=config.compression_rate,
            compression=config.compression,
            decodes=config.own_loss == "auto-encoding",
        )

    def forward(self, x: Hidden, held: Held, plan: Plan, encoding: Float[Tensor, "r d"], biases: Biases) -> Left:
        """The next hidden states, and what to remember of this chunk."""
        query, entry = self.ask(x)
        kept = x if self.training else entry
        blocks = None if plan.new is None else plan.new.take(join([held.waiting, x], like=x))
        made = self._compress(blocks, plan.new, like=kept)
        slots = join(between(held.compressed, made, plan.runs.slots.start, plan.runs.slots.stop), like=kept)
        if self.training:
            line = Line(self.remember(slots), self.remember(held.recent), entry)
        else:
            line = Line(slots, held.recent, entry)
        seen = self._look(query, line, plan.runs, self.relation(x, encoding, biases))
        loss = None
        if torch.is_grad_enabled() and self.compressor.encoder is not None:
            if self.own_loss == "auto-encoding":
                loss = self._auto_encoding(blocks)
            elif self.training and self.own_loss == "attention":
                loss = self._reconstruction(query.detach(), line, held.recent.detach(), x.detach(), plan.runs)
            elif self.training:
                loss = self._nothing()
        return Left(self.settle(x, seen), kept, made, push(held.waiting, x, clock=plan.clock), loss)

    def _compress(
        self, blocks: Float[Tensor, "n c d"] | None, new: NewBlocks | None, *, like: Float[Tensor, "b t k"]
    ) -> Float[Tensor, "b m k"]:
        """The slots of the blocks that a chunk completes, kept like tokens."""
        if blocks is None or new is None:
            return like[:, :0]
        slots = self.compressor(blocks, frozen=self.training and self.own_loss != "none")
        return new.give(slots if self.training else self.remember(slots[None])[0], lanes=like.shape[0])

    def _look(
        self, query: Float[Tensor, "b t h e"], line: Line, plan: Runs, relation: Relation
    ) -> Float[Tensor, "b t h e"]:
        """What the tokens of each run read from their slots, the recent tokens and themselves."""
        lanes: list[Tensor] = []
        for lane, asking, slots, past, chunk in plan.by_lane(query, *line):
            queries, padding = split(asking, lane)
            seen: list[Tensor] = []
            for run, q in zip(lane, queries, strict=True):
                own = slots[:, run.slots.start - plan.slots.start : run.slots.stop - plan.slots.start]
                keys = join([own, *between(past, chunk, run.recent, run.tokens.stop)], like=chunk)
                seen.append(self.attend(q, keys, relation, in_order(q.shape[1], keys.shape[1])))
            lanes.append(join([*seen, *padding], like=asking))
        return lanes[0] if len(lanes) == 1 else torch.cat(lanes)

    def _auto_encoding(self, blocks: Float[Tensor, "n c d"] | None) -> Float[Tensor, ""]:
        """How far decoded slots are from their blocks: the mean over the blocks that the chunk completes."""
        if blocks is None or self.compressor.decoder is None:
            return self._nothing()
        blocks = blocks.detach()
        decoded = self.compressor.decoder(self.compressor(blocks))
        return auto_encoding(blocks[:, -self.rate :], decoded).mean()

    def _nothing(self) -> Float[Tensor, ""]:
        """A loss of zero. Those who average gradients over ranks wait for one of every weight."""
        return 0.0 * torch.stack([weight.sum() for weight in self.compressor.parameters()]).sum()

    def _reconstruction(
        self, query: Float[Tensor, "b t h e"], line: Line, recent: Float[Tensor, "b s d"], x: Hidden, plan: Runs
    ) -> Float[Tensor, ""]:
        """How far slots are from the tokens that leave when a segment ends: a mean over tokens that read."""
        gaps: list[Tensor] = []
        for lane, asking, past, chunk, earlier, later in plan.by_lane(
            query, line.past.detach(), line.chunk.detach(), recent, x
        ):
            for run, q in zip(lane, split(asking, lane)[0], strict=True):
                if run.leaving == 0:
                    continue
                stop = run.recent + run.leaving
                context = self.context if run.edge else 0
                inputs = join(between(earlier, later, run.recent - context, stop), like=later)
                blocks = blocks_of(
                    F.pad(inputs, (0, 0, self.context - context, 0)), rate=self.rate, context=self.context
                )
                old = join(between(past, chunk, run.recent, stop), like=chunk)
                new = self.remember(self.compressor(blocks), frozen=True)
                gaps.append(attention_reconstruction(q, old=self.by_head(old), new=self.by_head(new)).flatten())
        return torch.cat(gaps).mean() if gaps else self._nothing()


class MostUsedLayer(RelativeLayer):
    """Relative attention over both memories and the chunk, then a feed-forward map; old tokens are kept or dropped."""

    def __init__(self, config: CompressiveTransformerConfig) -> None:
        super().__init__(config)
        self.rate = config.compression_rate

    def forward(self, x: Hidden, held: Held, plan: Plan, encoding: Float[Tensor, "r d"], biases: Biases) -> Left:
        """The next hidden states, and what to remember of this chunk."""
        query, entry = self.ask(x)
        kept = x if self.training else entry
        past = self.remember(held.recent) if self.training else held.recent
        # How much each token of the ring, and of the chunk after it, was used.
        use = F.pad(held.waiting[..., 0].detach(), (0, x.shape[1]))
        relation = self.relation(x, encoding, biases)
        seen: list[Tensor] = []
        made: list[Tensor] = []
        for lane, q, ring, recent, later, *read, used in plan.runs.by_lane(
            query, held.compressed, held.recent, kept, past, entry, use
        ):
            out, slots = self._look(lane, q, Line(ring, recent, later), read, used, relation)
            seen.append(out)
            made.append(F.pad(slots, (0, 0, 0, plan.runs.width - slots.shape[1])))
        ring_of_use, of_chunk = use[..., None].split([held.waiting.shape[1], x.shape[1]], dim=1)
        waiting = push(ring_of_use, of_chunk, clock=plan.clock)
        return Left(self.settle(x, torch.cat(seen)), kept, torch.cat(made), waiting, None)

    def _look(
        self,
        lane: tuple[Run, ...],
        query: Float[Tensor, "b t h e"],
        kept: Line,
        read: Sequence[Float[Tensor, "b _ k"]],
        use: Float[Tensor, "b u"],
        relation: Relation,
    ) -> tuple[Float[Tensor, "b t h e"], Float[Tensor, "b m k"]]:
        """What the runs of a lane read, one after another, and the slots they leave; `use` is added to where it stands.

        Args:
            lane: the runs.
            query: of the lane's tokens.
            kept: slots, recent tokens and the chunk in the form in which they are kept.
            read: keys and values of the recent tokens, and of the chunk.
            use: attention that tokens of the ring and of the chunk received from segments after their own.
            relation: distances.
        """
        past, chunk = read
        queries, padding = split(query, lane)
        first = use.shape[1] - query.shape[1]
        made, seen = kept.chunk[:, :0], list[Tensor]()
        for run, q in zip(lane, queries, strict=True):
            slots = join(between(kept.slots, made, run.slots.start, run.slots.stop), like=kept.chunk)
            slots = self.remember(slots) if self.training else slots
            keys = join([slots, *between(past, chunk, run.recent, run.tokens.stop)], like=chunk)
            out, received = self._attend_counting(q, keys, relation)
            seen.append(out)
            remembered = slice(slots.shape[1], slots.shape[1] + run.began - run.recent)
            use[:, first + run.recent : first + run.began] += received[:, remembered]
            if run.ends and run.leaving:
                stop = run.recent + run.leaving
                leaving = join(between(kept.past, kept.chunk, run.recent, stop), like=kept.chunk)
                best = most_used(leaving, use[:, first + run.recent : first + stop], keep=run.leaving // self.rate)
                made = join([made, best], like=kept.chunk)
        return join([*seen, *padding], like=query), made

    def _attend_counting(
        self, query: Float[Tensor, "b t h e"], line: Float[Tensor, "b s k"], relation: Relation
    ) -> tuple[Float[Tensor, "b t h e"], Float[Tensor, "b s"]]:
        """What queries read from a line of keys and values, and the attention that each entry received."""
        entries = self.by_head(line)
        u, w = relation.biases
        sight = in_order(query.shape[1], line.shape[1])
        if relation.projected is None:
            near, weight = relation.encoding[-line.shape[1] :], self.project_distance.weight
            return attend_relative_few_counting(
                query, entries, near, weight, content_bias=u, distance_bias=w, sight=sight
            )
        return attend_relative_counting(
            query,
            entries,
            relation.projected,
            content_bias=u,
            distance_bias=w,
            sight=sight,
            dropout=self.config.attention_dropout if self.training else 0.0,
        )


@register("compressive-transformer", kind="causal")
class CompressiveTransformer(RelativeModel[CompressiveTransformerMemory]):
    """Transformer-XL whose oldest tokens are not forgotten but compressed, and seen in that form much longer."""

    Config = CompressiveTransformerConfig

    def __init__(self, config: CompressiveTransformerConfig) -> None:
        super().__init__(config)
        for part in self.modules():
            if isinstance(part, Compressor):
                part.begin_as_mean()

    @property
    def config(self) -> CompressiveTransformerConfig:
        """The config this model was built from."""
        return self._config  # pyright: ignore[reportReturnType]

    def make_layer(self, config: CompressiveTransformerConfig) -> CompressiveLayer | MostUsedLayer:
        """A layer of this architecture."""
        return (MostUsedLayer if config.compression == "most-used" else CompressiveLayer)(config)

    def init_memory(self, lanes: int) -> CompressiveTransformerMemory:
        """An empty memory in the form of the model's mode: hidden states in training, keys and values in evaluation."""
        c = self.config

        def empty(slots: int, width: int) -> Tensor:
            return torch.zeros(lanes, c.n_layers, slots, width, dtype=self.dtype, device=self.device)

        width = c.d_model if self.training else 2 * c.d_model
        return CompressiveTransformerMemory(
            position=torch.zeros(lanes, dtype=torch.int64, device=self.device),
            recent=empty(c.capacity, width),
            compressed=empty(c.grid.slots, width),
            waiting=empty(*c.waiting),
        ).made_by(self)

    def adopt(self, memory: CompressiveTransformerMemory) -> CompressiveTransformerMemory:
        """Keys and values instead of hidden states, where an evaluating model is given a training memory.

        Raises:
            MemoryMismatch: a training model is given keys and values, which hidden states cannot be had from.
        """
        if not self.must_project(memory.recent):
            return memory
        recent, compressed = self.projected(memory.recent), self.projected(memory.compressed)
        return replace(memory, recent=recent, compressed=compressed)

    def advance(
        self, tokens: Tokens, memory: CompressiveTransformerMemory, clock: Clock
    ) -> Advance[CompressiveTransformerMemory]:
        """Read a chunk: hidden states, the memory moved on, and what the compression lost."""
        c = self.config
        plan = Plan.of(clock, c)
        first = memory.recent.shape[2] - plan.past
        recent = forget_others(memory.recent, clock=clock)
        compressed = forget_others(memory.compressed, clock=replace(clock, before=c.grid.made(clock.before)))
        encoding = self.drop(self.distances(plan.runs.longest, like=recent))
        x = self.embed(tokens)
        left: list[Left] = []
        for n, layer in enumerate(self.layers):
            held = Held(recent[:, n, first:], compressed[:, n], memory.waiting[:, n])
            given = (x, held, plan, encoding, self.biases(n))
            left.append(run_layer(layer, given, checkpoint=self.recompute and self.training))
            x = left[-1].hidden
        if plan.runs.width:
            made = torch.stack([one.made for one in left], dim=1).to(compressed.dtype)
            compressed = push(compressed, made, clock=plan.runs.clock_of_slots(clock))
        entries = torch.stack([one.recent for one in left], dim=1).to(recent.dtype)
        after = CompressiveTransformerMemory(
            position=clock.following,
            recent=push(recent, entries, clock=clock),
            compressed=compressed,
            waiting=torch.stack([one.waiting for one in left], dim=1).to(memory.waiting.dtype),
        )
        losses = [one.loss for one in left if one.loss is not None]
        aux = {"reconstruction": torch.stack(losses).sum()} if losses else {}
        return Advance(hidden=self.drop(self.norm(x)), memory=after, aux=aux)
