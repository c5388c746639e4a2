"""GRU (Cho et al., 2014, arXiv:1406.1078) as a causal language model.

    r = s(Wr x + Ur h + br)   z = s(Wz x + Uz h + bz)   n = tanh(Wn x + bn + r (Un h + cn))   h' = (1 - z) n + z h

This is the variant of cuDNN and `torch.nn.GRU`: the reset gate acts after the product, and `z` keeps the past. Weights,
gate order (r, z, n) and numbers are torch's.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from everlong.clock import Clock
from everlong.heads import LinearHead
from everlong.memory import Memory, memory_type
from everlong.models.base import Advance, LanguageModel, ModelConfig
from everlong.models.registry import register
from everlong.nn.scan import State, gru_layer, layer_weights, make_orthogonal, own_precision, scan
from everlong.shapes import Hidden, Tokens


class GRUConfig(ModelConfig):
    """Sizes of a stack of GRU layers and how long its cells remember at the beginning."""

    d_model: int = Field(default=512, ge=1)
    n_layers: int = Field(default=2, ge=1)
    forget_bias: float = 0.0
    """Initial bias of the update gate, which keeps the past, in all."""
    chrono_max: int = Field(default=0, ge=0)
    """Longest initial time scale in tokens (chrono initialisation, arXiv:1804.11188); 0 for none."""
    orthogonal: bool = False
    """Whether the recurrent weights of each gate begin as an orthogonal matrix (Saxe et al., 2014, arXiv:1312.6120)."""


@memory_type
class GRUMemory(Memory):
    """Output of every layer."""

    position: Int[Tensor, "b"]
    hidden: Float[Tensor, "b l d"]


@register("gru", kind="causal")
class GRU(LanguageModel[GRUMemory]):
    """Stack of gated recurrent units."""

    Config = GRUConfig

    def __init__(self, config: GRUConfig) -> None:
        super().__init__(config)
        d = config.d_model
        self.embedding = nn.Embedding(config.vocab_size, d)
        self.cells = nn.GRU(
            d, d, config.n_layers, batch_first=True, dropout=config.dropout if config.n_layers > 1 else 0.0
        )
        self.head = LinearHead(self.embedding, tied=False)
        set_time_scales(self.cells, config)
        if config.orthogonal:
            make_orthogonal(self.cells)

    @property
    def config(self) -> GRUConfig:
        """The config this model was built from."""
        return self._config  # pyright: ignore[reportReturnType]

    def init_memory(self, lanes: int) -> GRUMemory:
        """Zero outputs in every lane."""
        hidden = torch.zeros(lanes, self.config.n_layers, self.config.d_model, dtype=self.dtype, device=self.device)
        position = torch.zeros(lanes, dtype=torch.int64, device=self.device)
        return GRUMemory(position=position, hidden=hidden).made_by(self)

    def advance(self, tokens: Tokens, memory: GRUMemory, clock: Clock) -> Advance[GRUMemory]:
        """Read a chunk: outputs of the last layer, and the states after it."""
        x = F.dropout(self.embedding(tokens), self.config.dropout, self.training)
        hidden, (h,) = scan(self._run, x, (memory.hidden,), clock=clock)
        hidden = F.dropout(hidden, self.config.dropout, self.training)
        return Advance(hidden=hidden, memory=GRUMemory(position=clock.following, hidden=h.contiguous()), aux={})

    def _run(self, x: Hidden, state: State) -> tuple[Hidden, State]:
        (h,) = state
        with own_precision(x):
            x = x.to(h.dtype)
            if x.device.type == "cuda":
                x, last = self.cells(x, h.transpose(0, 1).contiguous())
                return x, (last.transpose(0, 1),)
            if x.shape[1] == 1 and not self.training:
                return self._run_one(x[:, 0], h)
            ends: list[Tensor] = []
            for n, weights in enumerate(layer_weights(self.cells)):
                x = F.dropout(x, self.config.dropout, self.training) if n > 0 else x
                x = gru_layer(x, h[:, n], *weights)
                ends.append(x[:, -1])
        return x, (torch.stack(ends, dim=1),)

    def _run_one(self, x: Float[Tensor, "b d"], h: Float[Tensor, "b l d"]) -> tuple[Hidden, State]:
        after: list[Tensor] = []
        for n, weights in enumerate(layer_weights(self.cells)):
            x = torch.gru_cell(x, h[:, n], *weights)
            after.append(x)
        return x[:, None], (torch.stack(after, dim=1),)


@torch.no_grad()
def set_time_scales(cells: nn.GRU, config: GRUConfig) -> None:
    """Give the update gates their initial bias: a constant, or ``log U[1, chrono_max - 1]`` by unit."""
    d = config.d_model
    for layer in range(config.n_layers):
        b_ih, b_hh = getattr(cells, f"bias_ih_l{layer}"), getattr(cells, f"bias_hh_l{layer}")
        if config.chrono_max > 2:
            b_ih[d : 2 * d] = torch.empty(d).uniform_(1, config.chrono_max - 1).log()
        else:
            b_ih[d : 2 * d] = config.forget_bias
        b_hh[d : 2 * d] = 0
