"""LSTM (Hochreiter & Schmidhuber, 1997; forget gate by Gers et al., 2000) as a causal language model.

    i, f, o = s(W x + U h + b)      g = tanh(W x + U h + b)      c' = f c + i g      h' = o tanh(c')

The cells are `torch.nn.LSTM`'s, weights, gate order (i, f, g, o) and numbers; what is added is the memory contract:
documents that begin inside a chunk, ragged and idle lanes, initial time scales, and vectors in place of tokens.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from everlong.clock import Clock
from everlong.heads import LinearHead, VectorHead
from everlong.memory import Memory, memory_type
from everlong.models.base import Advance, LanguageModel, VectorConfig
from everlong.models.registry import register
from everlong.nn.scan import State, layer_weights, make_orthogonal, own_precision, scan
from everlong.shapes import Hidden, Tokens, Vectors


class LSTMConfig(VectorConfig):
    """Sizes of a stack of LSTM layers and how long its cells remember at the beginning."""

    d_model: int = Field(default=512, ge=1)
    n_layers: int = Field(default=2, ge=1)
    forget_bias: float = 1.0
    """Initial bias of the forget gate in all (torch has two bias vectors; theirs add up to about 0)."""
    chrono_max: int = Field(default=0, ge=0)
    """Longest initial time scale in tokens (chrono initialisation, arXiv:1804.11188); 0 for none."""
    orthogonal: bool = False
    """Whether the recurrent weights of each gate begin as an orthogonal matrix (Saxe et al., 2014, arXiv:1312.6120)."""


@memory_type
class LSTMMemory(Memory):
    """Output and cell of every layer."""

    position: Int[Tensor, "b"]
    hidden: Float[Tensor, "b l d"]
    cell: Float[Tensor, "b l d"]


@register("lstm", kind="causal")
class LSTM(LanguageModel[LSTMMemory]):
    """Stack of long short-term memory cells."""

    Config = LSTMConfig

    def __init__(self, config: LSTMConfig) -> None:
        super().__init__(config)
        d = config.d_model
        table = nn.Embedding(config.vocab_size, d)
        self.embedding = nn.Linear(config.input_size, d) if config.input_size else table
        self.cells = nn.LSTM(
            d, d, config.n_layers, batch_first=True, dropout=config.dropout if config.n_layers > 1 else 0.0
        )
        self.head = VectorHead(d, config.output_size) if config.output_size else LinearHead(table, tied=False)
        set_time_scales(self.cells, config)
        if config.orthogonal:
            make_orthogonal(self.cells)

    @property
    def config(self) -> LSTMConfig:
        """The config this model was built from."""
        return self._config  # pyright: ignore[reportReturnType]

    def init_memory(self, lanes: int) -> LSTMMemory:
        """Zero outputs and cells in every lane."""
        hidden, cell = (
            torch.zeros(lanes, self.config.n_layers, self.config.d_model, dtype=self.dtype, device=self.device)
            for _ in range(2)
        )
        position = torch.zeros(lanes, dtype=torch.int64, device=self.device)
        return LSTMMemory(position=position, hidden=hidden, cell=cell).made_by(self)

    def advance(self, tokens: Tokens | Vectors, memory: LSTMMemory, clock: Clock) -> Advance[LSTMMemory]:
        """Read a chunk: outputs of the last layer, and the states after it."""
        x = F.dropout(self.embedding(tokens), self.config.dropout, self.training)
        hidden, (h, c) = scan(self._run, x, (memory.hidden, memory.cell), clock=clock)
        hidden = F.dropout(hidden, self.config.dropout, self.training)
        after = LSTMMemory(position=clock.following, hidden=h.contiguous(), cell=c.contiguous())
        return Advance(hidden=hidden, memory=after, aux={})

    def _run(self, x: Hidden, state: State) -> tuple[Hidden, State]:
        h, c = state
        with own_precision(x):
            x = x.to(h.dtype)
            if x.shape[1] == 1 and not self.training:
                return self._run_one(x[:, 0], h, c)
            out, (h, c) = self.cells(x, (h.transpose(0, 1).contiguous(), c.transpose(0, 1).contiguous()))
        return out, (h.transpose(0, 1), c.transpose(0, 1))

    def _run_one(
        self, x: Float[Tensor, "b d"], h: Float[Tensor, "b l d"], c: Float[Tensor, "b l d"]
    ) -> tuple[Hidden, State]:
        # The library's kernel packs all weights anew in each call, which for one token costs more than the token.
        after: list[tuple[Tensor, Tensor]] = []
        for n, weights in enumerate(layer_weights(self.cells)):
            x, cell = torch.lstm_cell(x, (h[:, n], c[:, n]), *weights)
            after.append((x, cell))
        hidden, cells = (torch.stack(parts, dim=1) for parts in zip(*after, strict=True))
        return x[:, None], (hidden, cells)


@torch.no_grad()
def set_time_scales(cells: nn.LSTM, config: LSTMConfig) -> None:
    """Bias the forget gates: by a constant, or by ``log U[1, chrono_max - 1]`` and the input gates by its opposite."""
    d = config.d_model
    for layer in range(config.n_layers):
        b_ih, b_hh = getattr(cells, f"bias_ih_l{layer}"), getattr(cells, f"bias_hh_l{layer}")
        if config.chrono_max > 2:
            scales = torch.empty(d).uniform_(1, config.chrono_max - 1).log()
            b_ih[:d], b_ih[d : 2 * d] = -scales, scales
            b_hh[: 2 * d] = 0
        else:
            b_ih[d : 2 * d] = config.forget_bias
            b_hh[d : 2 * d] = 0
