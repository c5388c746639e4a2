"""Recurrent encoder-decoders that learned to align: Bahdanau et al. (2015) and Luong et al. (2015).

    h_j   = [ GRU(x_1 .. x_j) ; GRU(x_s .. x_j) ]         source states, from both sides of every token
    s_0   = tanh(W backward h_1)                          where a document begins

    bahdanau    c_t = sum_j softmax_j( score(s_{t-1}, h_j) ) h_j             the state before the token asks
                s_t = GRU([E y_t; c_t], s_{t-1})
                o_t = tanh(W_o [s_t; c_t; E y_t])
    luong       s_t = GRU([E y_t; o_{t-1}], s_{t-1})                         input feeding
                c_t = sum_j softmax_j( score(s_t, h_j) ) h_j                 the state after it asks
                o_t = tanh(W_o [c_t; s_t])

Any of the scores of everlong.nn.score takes the place of `score`. What of it depends on the source alone is computed
once, by `read`. The first paper (arXiv:1409.0473) has the additive score, and a maxout where `o_t` has a tanh; the
second (arXiv:1508.04025) compares scores, and has LSTM cells.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from everlong.clock import Clock
from everlong.heads import LinearHead
from everlong.memory import memory_type
from everlong.models.base import Advance, ModelConfig
from everlong.models.registry import register
from everlong.models.seq2seq import Seq2Seq, SourceMemory, without_padding
from everlong.nn.scan import State, layer_weights, own_precision, scan
from everlong.nn.score import ScoreName, attend, make_score
from everlong.shapes import Hidden, Tokens

Vector = Float[Tensor, "b d"]
States = Float[Tensor, "b n d"]
Weights = list[tuple[Tensor, Tensor, Tensor, Tensor]]
Ask = Callable[[Vector], Vector]
"""What a state finds in the source."""


class RecurrentEncoderDecoderConfig(ModelConfig):
    """Sizes of a recurrent encoder and decoder, and how the one asks the other."""

    d_model: int = Field(default=256, ge=1)
    n_layers: int = Field(default=1, ge=1)
    """Layers of GRU cells in the encoder, and in the decoder."""
    attention: Literal["bahdanau", "luong"] = "bahdanau"
    score: ScoreName = "additive"
    n_positions: int = Field(default=512, ge=1)
    """Source tokens that the location score can attend to; other scores attend to all."""
    shared_embedding: bool = True
    """Whether source and target tokens have one table of embeddings."""

    @model_validator(mode="after")
    def _halves(self) -> Self:
        if self.d_model % 2:
            raise ValueError(
                f"d_model={self.d_model} cannot be halved, and half of a source state reads forwards, half backwards; "
                f"give {self.d_model + 1}."
            )
        return self


@memory_type
class RecurrentEncoderDecoderMemory(SourceMemory):
    """States of the source, what the score needs of them, and the decoder's own."""

    position: Int[Tensor, "b"]
    source_length: Int[Tensor, "b"]
    source: Float[Tensor, "b s d"]
    keys: Float[Tensor, "b s a"]
    """What `Score.prepare` made of the source."""
    state: Float[Tensor, "b n d"]
    """Output of every layer, and for input feeding the last `o_t`."""

    source_axes: ClassVar[Mapping[str, int]] = {"source": 1, "keys": 1}


@register("recurrent-encoder-decoder", kind="seq2seq")
class RecurrentEncoderDecoder(Seq2Seq[RecurrentEncoderDecoderMemory]):
    """GRU encoder read from both sides, and a GRU decoder that attends to it by any score function."""

    Config = RecurrentEncoderDecoderConfig

    def __init__(self, config: RecurrentEncoderDecoderConfig) -> None:
        super().__init__(config)
        d, layers = config.d_model, config.n_layers
        self.embedding = nn.Embedding(config.vocab_size, d)
        self.source_embedding = None if config.shared_embedding else nn.Embedding(config.vocab_size, d)
        between = config.dropout if layers > 1 else 0.0
        self.encoder_cells = nn.GRU(d, d // 2, layers, batch_first=True, bidirectional=True, dropout=between)
        self.begin = nn.Linear(d // 2, layers * d)
        self.cells = nn.GRU(2 * d, d, layers, batch_first=True)
        self.score = make_score(config.score, width=d, n_positions=config.n_positions)
        self.join = nn.Linear((3 if config.attention == "bahdanau" else 2) * d, d)
        self.head = LinearHead(self.embedding, tied=False)

    @property
    def config(self) -> RecurrentEncoderDecoderConfig:
        """The config this model was built from."""
        return self._config  # pyright: ignore[reportReturnType]

    def init_memory(self, lanes: int, *, source_slots: int = 0) -> RecurrentEncoderDecoderMemory:
        """Zero states, and room for a source, in every lane."""
        c = self.config
        state = torch.zeros(
            lanes, c.n_layers + (c.attention == "luong"), c.d_model, dtype=self.dtype, device=self.device
        )
        return RecurrentEncoderDecoderMemory(
            position=torch.zeros(lanes, dtype=torch.int64, device=self.device),
            source_length=torch.zeros(lanes, dtype=torch.int64, device=self.device),
            source=state.new_zeros(lanes, source_slots, c.d_model),
            keys=state.new_zeros(lanes, source_slots, self.score.prepared_width),
            state=state,
        ).made_by(self)

    def encode(self, source: Tokens, clock: Clock) -> Hidden:
        """States of all source tokens; the backward direction begins at each lane's last real one."""
        table = self.embedding if self.source_embedding is None else self.source_embedding
        x = F.dropout(table(source), self.config.dropout, self.training)
        with own_precision(x):
            x = x.to(self.dtype)
            if clock.lengths is None:
                hidden, _ = self.encoder_cells(x)
            else:
                # An empty lane is read as if it had one token, whose state is dropped as padding.
                packed = pack_padded_sequence(
                    x, clock.lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False
                )
                packed, _ = self.encoder_cells(packed)
                hidden, _ = pad_packed_sequence(packed, batch_first=True, total_length=clock.time)
        return F.dropout(hidden, self.config.dropout, self.training)

    def keep(self, hidden: Hidden) -> Mapping[str, Tensor]:
        """The states, and what the score needs of them."""
        return {"source": hidden, "keys": self.score.prepare(hidden)}

    def advance(
        self, tokens: Tokens, memory: RecurrentEncoderDecoderMemory, clock: Clock
    ) -> Advance[RecurrentEncoderDecoderMemory]:
        """Read a chunk: the vectors that predict the next tokens, and the states after it."""
        padding = memory.source_padding()
        source, keys = (without_padding(x, padding, axis=1) for x in (memory.source, memory.keys))
        real = None if padding is None else ~padding[:, None]
        x = F.dropout(self.embedding(tokens), self.config.dropout, self.training)
        new = (self._beginning(source, memory) if bool((clock.position == 0).any()) else memory.state,)
        run = partial(self._run, source=source, keys=keys, real=real)
        hidden, (state,) = scan(run, x, (memory.state,), clock=clock, new=new)
        after = RecurrentEncoderDecoderMemory(
            position=clock.following,
            source_length=memory.source_length,
            source=memory.source,
            keys=memory.keys,
            state=state.contiguous(),
        )
        return Advance(hidden=F.dropout(hidden, self.config.dropout, self.training), memory=after, aux={})

    def _beginning(
        self, source: Float[Tensor, "b s d"], memory: RecurrentEncoderDecoderMemory
    ) -> Float[Tensor, "b n d"]:
        """Where a document begins: what the encoder says of the whole source, read backwards; zeros without one."""
        c = self.config
        if memory.source_slots == 0:
            return torch.zeros_like(memory.state)
        with own_precision(source):
            first = torch.tanh(self.begin(source[:, 0, c.d_model // 2 :])).unflatten(-1, (c.n_layers, c.d_model))
        first = torch.where((memory.source_length > 0)[:, None, None], first, 0)
        return F.pad(first, (0, 0, 0, memory.state.shape[1] - c.n_layers))

    def _run(
        self,
        x: Hidden,
        state: State,
        *,
        source: Float[Tensor, "b s d"],
        keys: Float[Tensor, "b s a"],
        real: Bool[Tensor, "b 1 s"] | None,
    ) -> tuple[Hidden, State]:
        (h,) = state
        step = self._bahdanau if self.config.attention == "bahdanau" else self._luong
        ask = partial(self._ask, source=source, keys=keys, real=real)
        weights = list(layer_weights(self.cells))
        outputs: list[Tensor] = []
        with own_precision(x):
            for token in x.to(h.dtype).unbind(dim=1):
                out, h = step(token, h, ask, weights)
                outputs.append(out)
        return torch.stack(outputs, dim=1), (h,)

    def _bahdanau(self, x: Vector, h: States, ask: Ask, weights: Weights) -> tuple[Vector, States]:
        context = ask(h[:, -1])
        states = self._through_layers(torch.cat([x, context], dim=-1), h, weights)
        out = torch.tanh(self.join(torch.cat([states[-1], context, x], dim=-1)))
        return out, torch.stack(states, dim=1)

    def _luong(self, x: Vector, h: States, ask: Ask, weights: Weights) -> tuple[Vector, States]:
        states = self._through_layers(torch.cat([x, h[:, -1]], dim=-1), h, weights)
        out = torch.tanh(self.join(torch.cat([ask(states[-1]), states[-1]], dim=-1)))
        return out, torch.stack([*states, out], dim=1)

    def _through_layers(self, x: Float[Tensor, "b k"], h: States, weights: Weights) -> list[Tensor]:
        states: list[Tensor] = []
        for n, of_layer in enumerate(weights):
            x = F.dropout(x, self.config.dropout, self.training) if n > 0 else x
            x = torch.gru_cell(x, h[:, n], *of_layer)
            states.append(x)
        return states

    def _ask(
        self,
        query: Vector,
        *,
        source: Float[Tensor, "b s d"],
        keys: Float[Tensor, "b s a"],
        real: Bool[Tensor, "b 1 s"] | None,
    ) -> Vector:
        return attend(self.score.compare(query[:, None], keys), source, visible=real).out[:, 0]
