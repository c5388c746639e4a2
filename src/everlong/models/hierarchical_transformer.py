"""A Transformer that reads a document in paragraphs, and remembers finished ones by a summary each.

    paragraph encoder    h_t   = causal layers over the tokens of t's own paragraph up to t
    summary              s_k   = sum_i softmax_i( u . tanh(W h_i + b) ) h_i        tokens i of paragraph k, head by head
    recurrence           g_k   = GRU(s_k, g_{k-1})                                 g of nothing is 0
    document decoder     causal layers over the tokens of t's paragraph up to t,
                         and in the same softmax LN(g_{k-n}) … LN(g_{k-1}), for t in paragraph k

That is the hierarchy of paragraph and document encoders (HIBERT, Zhang et al., 2019, arXiv:1905.06566; Hi-Transformer,
Wu et al., 2021, arXiv:2106.01040), made causal: a summary enters one paragraph later than it was made, so no token sees
one that holds itself or anything after it. The pooling is that of hierarchical attention networks (Yang et al., 2016).
What is recurrent passes through one small vector a paragraph and not through the decoder, so a chunk of many paragraphs
is computed at once.

Paragraphs are counted on the document's clock (everlong.nn.paragraphs). Within one, rotation says how many tokens apart
two are; between a token and a summary, how many paragraphs. A token costs what it sees: the paragraph that is open and
`n_paragraphs` summaries, of which keys and values are kept.
"""

from dataclasses import replace
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from everlong.clock import Clock
from everlong.heads import LinearHead
from everlong.memory import Memory, memory_type
from everlong.models.base import Advance, LanguageModel, run_layer
from everlong.models.registry import register
from everlong.models.transformer import RotaryConfig, RotaryLayer, TransformerLayer
from everlong.nn.attention import Look
from everlong.nn.blocks import init_normal
from everlong.nn.paragraphs import Open, Paragraphs, in_paragraphs
from everlong.nn.pooling import AttentionScore, softmax_by_stretch, sum_by_stretch
from everlong.nn.position import Rotary
from everlong.nn.scan import State, gru_layer, layer_weights, own_precision, scan
from everlong.nn.window import Join, Rings, Sight, forget_others, look_back, push, query_block
from everlong.shapes import Hidden, Tokens


class HierarchicalTransformerConfig(RotaryConfig):
    """Sizes of a hierarchical Transformer and of its paragraphs."""

    segment: int = Field(default=128, ge=2)
    """Tokens of a paragraph: of every one, or with a `paragraph_token` of the longest."""
    paragraph_token: int | None = Field(default=None, ge=0)
    """The token that ends a paragraph, as 10 is the end of a line in bytes; none for paragraphs of equal length."""
    n_paragraphs: int = Field(default=32, ge=1)
    """Finished paragraphs that a token sees something of."""
    encoder_layers: int | None = Field(default=None, ge=0)
    """Layers, the first ones, of which summaries are made and that see none; half of them if not given."""

    @model_validator(mode="after")
    def _parts(self) -> Self:
        if self.encoder_layers is not None and self.encoder_layers >= self.n_layers:
            raise ValueError(
                f"encoder_layers={self.encoder_layers} of n_layers={self.n_layers} leave none to read the summaries; "
                f"give n_layers={self.encoder_layers + 1} or more."
            )
        if self.paragraph_token is not None and self.paragraph_token >= self.vocab_size:
            raise ValueError(
                f"paragraph_token={self.paragraph_token} is no token of a vocabulary of {self.vocab_size}; "
                "give the id that the tokenizer gives to the end of a line."
            )
        return self

    @property
    def lower(self) -> int:
        """Layers of the paragraph encoder."""
        return self.n_layers // 2 if self.encoder_layers is None else self.encoder_layers


@memory_type
class HierarchicalTransformerMemory(Memory):
    """The open paragraph word for word, and finished ones by their summaries."""

    position: Int[Tensor, "b"]
    length: Int[Tensor, "b"]
    """Tokens of the open paragraph."""
    above: Int[Tensor, "b"]
    """Paragraphs of the document that are finished."""
    separated: Bool[Tensor, "b"]
    """Whether the last token was a `paragraph_token`."""
    state: Float[Tensor, "b l s k"]
    """Keys, not rotated, then values of the last `segment` tokens in every layer (k = 2d)."""
    pooled: Float[Tensor, "b d"]
    """The summary of the open paragraph as far as it has come."""
    log_total: Float[Tensor, "b h"]
    """The logarithms of its denominators."""
    document: Float[Tensor, "b d"]
    """Output of the recurrence after the last finished paragraph."""
    summaries: Float[Tensor, "b m n k"]
    """Keys, not rotated, then values of `n_paragraphs` such outputs in every layer of the decoder."""


class Above(NamedTuple):
    """What of finished paragraphs a chunk sees."""

    sight: Sight
    query_angles: Float[Tensor, "b t 2 f"]
    key_angles: Float[Tensor, "s 2 f"]


class DecoderLayer(RotaryLayer):
    """Attention over the open paragraph and the summaries of finished ones, then a feed-forward map."""

    def __init__(self, config: HierarchicalTransformerConfig, rotary: Rotary) -> None:
        super().__init__(config, rotary)
        self.recall = nn.Linear(config.d_model, 2 * config.d_model, bias=False)

    def forward(
        self,
        x: Hidden,
        past: Float[Tensor, "b s 2*d"],
        join: Join,
        angles: Float[Tensor, "r 2 f"],
        sight: Sight,
        slots: Float[Tensor, "b n 2*d"],
        finished: Float[Tensor, "b m d"],
        above: Above,
    ) -> tuple[Hidden, Float[Tensor, "b t 2*d"], Float[Tensor, "b m 2*d"]]:
        """The next hidden states, this chunk's keys and values, and those of the paragraphs that it finishes."""
        query, entry = self.ask(x)
        looks = [self.look(query, join(past, entry), angles, sight)]
        made = self.recall(finished)
        if above.sight.blocks:
            line = torch.cat([slots.to(made.dtype), made], dim=1) if finished.shape[1] else slots.to(query.dtype)
            key, value = (part.unflatten(-1, (self.n_heads, -1)) for part in line.chunk(2, dim=-1))
            query, key = self.rotary(query, above.query_angles), self.rotary(key, above.key_angles)
            looks.append(Look(query=query, key=key, value=value, sight=above.sight))
        return self.settle(x, looks), entry, made


class Summarizer(nn.Module):
    """Finished paragraphs into one vector each, and these through a recurrence."""

    def __init__(self, width: int, *, n_heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.score = AttentionScore(width, n_heads=n_heads)
        self.cell = nn.GRU(width, width)
        self.state_norm = nn.LayerNorm(width)

    def pool(
        self, x: Hidden, memory: HierarchicalTransformerMemory, paragraphs: Paragraphs
    ) -> tuple[Float[Tensor, "b p d"], Float[Tensor, "b p h"]]:
        """Every piece of a paragraph in one vector, and the logarithms of its denominators.

        What is known of a paragraph that goes on from before the chunk is the first item of piece 0.
        """
        clock = paragraphs.clock
        h = self.norm(x).to(memory.pooled.dtype)
        items = torch.cat([memory.pooled[:, None], h], dim=1)
        scores = torch.cat([memory.log_total[:, None], self.score(h)], dim=1)
        there = torch.ones_like(clock.position, dtype=torch.bool) if clock.valid is None else clock.valid
        there = F.pad(there, (1, 0)) | F.pad((clock.before > 0)[:, None], (0, clock.time))
        lanes, count = len(x), paragraphs.pieces
        number = F.pad(paragraphs.piece, (1, 0)) + count * torch.arange(lanes, device=x.device)[:, None]
        weights, log_total = softmax_by_stretch(scores[there], number[there], count=lanes * count)
        pooled = sum_by_stretch(items[there], weights, number[there], count=lanes * count)
        return pooled.view(lanes, count, -1), log_total.view(lanes, count, -1)

    def recur(
        self, pooled: Float[Tensor, "b p d"], before: Float[Tensor, "b d"], paragraphs: Paragraphs
    ) -> tuple[Float[Tensor, "b m d"], Float[Tensor, "b d"]]:
        """What the document has come to after each finished paragraph, normed, and after the last, as it is."""
        if not paragraphs.most:
            return pooled[:, :0], before
        lanes = torch.arange(len(pooled), device=pooled.device)[:, None]
        clock = paragraphs.clock_of_finished
        outputs, (last,) = scan(self._run, pooled[lanes, paragraphs.finished], (before,), clock=clock)
        # What follows a lane's last one was made of a state that may be anything.
        outputs = outputs if clock.valid is None else torch.where(clock.valid[..., None], outputs, 0)
        return self.state_norm(outputs), last

    def _run(self, x: Hidden, state: State) -> tuple[Hidden, State]:
        (h,) = state
        with own_precision(x):
            out = gru_layer(x.to(h.dtype), h, *next(layer_weights(self.cell)))
        return out, (out[:, -1],)


@register("hierarchical-transformer", kind="causal")
class HierarchicalTransformer(LanguageModel[HierarchicalTransformerMemory]):
    """Transformer over the open paragraph, and over summaries of finished ones that a recurrence runs through."""

    Config = HierarchicalTransformerConfig
    idle_weights = True

    def __init__(self, config: HierarchicalTransformerConfig) -> None:
        super().__init__(config)
        c = config
        self.embedding = nn.Embedding(c.vocab_size, c.d_model)
        self.rotary = Rotary(width=c.d_model // c.n_heads, base=c.rope_base)
        self.encoder = nn.ModuleList(TransformerLayer(c, self.rotary) for _ in range(c.lower))
        self.summarizer = Summarizer(c.d_model, n_heads=c.n_heads)
        self.decoder = nn.ModuleList(DecoderLayer(c, self.rotary) for _ in range(c.n_layers - c.lower))
        self.norm = nn.LayerNorm(c.d_model)
        self.head = LinearHead(self.embedding, tied=True)
        for part in (self.embedding, self.encoder, self.decoder):
            part.apply(init_normal)
        for layer in self.decoder:
            # Drawn as small as other weights, summaries would be a hundredth of the stream, and not be found for long.
            nn.init.normal_(layer.recall.weight, std=c.d_model**-0.5)  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue]

    @property
    def config(self) -> HierarchicalTransformerConfig:
        """The config this model was built from."""
        return self._config  # pyright: ignore[reportReturnType]

    def init_memory(self, lanes: int) -> HierarchicalTransformerMemory:
        """No paragraph in every lane."""
        c = self.config

        def empty(*sizes: int) -> Tensor:
            return torch.zeros(lanes, *sizes, dtype=self.dtype, device=self.device)

        def zero() -> Tensor:
            return torch.zeros(lanes, dtype=torch.int64, device=self.device)

        return HierarchicalTransformerMemory(
            position=zero(),
            length=zero(),
            above=zero(),
            separated=torch.zeros(lanes, dtype=torch.bool, device=self.device),
            state=empty(c.n_layers, c.segment, 2 * c.d_model),
            pooled=empty(c.d_model),
            log_total=empty(c.n_heads),
            document=empty(c.d_model),
            summaries=empty(c.n_layers - c.lower, c.n_paragraphs, 2 * c.d_model),
        ).made_by(self)

    def advance(
        self, tokens: Tokens, memory: HierarchicalTransformerMemory, clock: Clock
    ) -> Advance[HierarchicalTransformerMemory]:
        """Read a chunk: hidden states, the open paragraph moved on, and finished ones among the summaries."""
        c = self.config
        stands = Open(memory.length, memory.above, memory.separated)
        paragraphs = in_paragraphs(tokens, clock, stands, longest=c.segment, separator=c.paragraph_token)
        sight = look_back(clock, paragraphs.into, capacity=c.segment, block=query_block(c.segment))
        state = forget_others(memory.state, clock=clock)
        angles = self.rotary.angles(c.segment - sight.oldest + clock.time, like=state)
        rings = Rings(state, sight=sight, clock=clock, in_place=not self.training)
        checkpoint = self.recompute and self.training
        x = F.dropout(self.embedding(tokens), c.dropout, self.training)
        for n, layer in enumerate(self.encoder):
            x, entries = run_layer(layer, (x, rings.past(n), rings.join, angles, sight), checkpoint=checkpoint)
            rings.keep(entries)
        pooled, log_total = self.summarizer.pool(x, memory, paragraphs)
        finished, document = self.summarizer.recur(pooled, memory.document, paragraphs)
        slots = forget_others(memory.summaries, clock=replace(clock, before=clock.before.clamp(max=1) * memory.above))
        above = self._above(paragraphs, like=state)
        made: list[Tensor] = []
        for n, layer in enumerate(self.decoder):
            given = (x, rings.past(c.lower + n), rings.join, angles, sight, slots[:, n], finished, above)
            x, entries, own = run_layer(layer, given, checkpoint=checkpoint)
            rings.keep(entries)
            made.append(own)
        stands, last = paragraphs.after(stands), paragraphs.last(paragraphs.piece)
        after = HierarchicalTransformerMemory(
            position=clock.following,
            **stands._asdict(),
            state=rings.after(),
            pooled=paragraphs.moved(_chosen(pooled, last), memory.pooled),
            log_total=paragraphs.moved(_chosen(log_total, last), memory.log_total),
            document=document.contiguous(),
            summaries=_pushed(slots, made, paragraphs),
        )
        return Advance(hidden=F.dropout(self.norm(x), c.dropout, self.training), memory=after, aux={})

    def _above(self, paragraphs: Paragraphs, *, like: Tensor) -> Above:
        """Summaries are as far from a token as there are paragraphs between them."""
        count = self.config.n_paragraphs
        angles = self.rotary.angles(count + paragraphs.most + 1, like=like)
        return Above(
            sight=paragraphs.look_up(count),
            query_angles=angles[count + paragraphs.done],
            key_angles=angles[: count + paragraphs.most],
        )


def _chosen(pieces: Float[Tensor, "b p k"], piece: Int[Tensor, "b"]) -> Float[Tensor, "b k"]:
    return pieces[torch.arange(len(piece), device=piece.device), piece]


def _pushed(slots: Float[Tensor, "b m n k"], made: list[Tensor], paragraphs: Paragraphs) -> Float[Tensor, "b m n k"]:
    """The rings after the chunk, which move on by finished paragraphs and not by tokens."""
    if not paragraphs.most:
        return slots
    return push(slots, torch.stack(made, dim=1).to(slots.dtype), clock=paragraphs.clock_of_finished)
