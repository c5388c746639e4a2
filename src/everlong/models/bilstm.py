"""An LSTM in both directions (Graves & Schmidhuber, 2005): each token's state knows all before it and all after it.

    forth_t = LSTM(x_t, forth_{t-1})        back_t = LSTM'(x_t, back_{t+1})        h_t = [forth_t ; back_t]

In layers of half the width each, every one reading what the one before made. The cells are `torch.nn.LSTM`'s, weights,
gate order (i, f, g, o) and numbers; a text's length is its own here, whatever its lane is padded to.
"""

from typing import Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import nn

from everlong.clock import Clock
from everlong.heads import MaskedTokenHead
from everlong.models.base import ModelConfig, run_layer
from everlong.models.encoder import Encoder, GlobalMask
from everlong.models.registry import register
from everlong.nn.both_ways import BiLSTM as Cells
from everlong.nn.stretches import Stretches
from everlong.shapes import Hidden, Tokens


class BiLSTMConfig(ModelConfig):
    """Sizes of a stack of LSTM layers in both directions."""

    n_layers: int = Field(default=2, ge=1)

    @model_validator(mode="after")
    def _halves(self) -> Self:
        if self.d_model % 2:
            raise ValueError(
                f"d_model={self.d_model} cannot be halved for two directions; give d_model={self.d_model + 1}."
            )
        return self


@register("bilstm", kind="encoder")
class BiLSTM(Encoder):
    """LSTM layers both ways over a whole text."""

    Config = BiLSTMConfig

    def __init__(self, config: BiLSTMConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size + 1, config.d_model)
        self.rnn = Cells(width=config.d_model, n_layers=config.n_layers, dropout=config.dropout)
        self.head = MaskedTokenHead(self.embedding)
        nn.init.normal_(self.embedding.weight, std=0.1)

    @property
    def config(self) -> BiLSTMConfig:
        """The config this encoder was built from."""
        return self._config  # pyright: ignore[reportReturnType]

    def encode(self, tokens: Tokens, clock: Clock, global_mask: GlobalMask | None) -> Hidden:
        """Hidden states of all tokens; those of padding are 0."""
        del global_mask
        lanes, time = tokens.shape
        lengths = torch.full((lanes,), time, device=tokens.device) if clock.lengths is None else clock.lengths
        real = torch.ones_like(tokens, dtype=torch.bool) if clock.valid is None else clock.valid
        line = F.dropout(self.embedding(tokens[real]), self.config.dropout, self.training)
        states = run_layer(self.rnn, (line, Stretches(lengths)), checkpoint=self.recompute and self.training)
        states = F.dropout(states, self.config.dropout, self.training)
        return states.new_zeros(lanes, time, states.shape[-1]).masked_scatter(real[..., None], states)
