"""How long the units of gated recurrent layers remember, on real text.

    tau = 1 / (1 - f)       f: a unit's forget gate (LSTM), or update gate (GRU), averaged over tokens and lanes

A unit that multiplies its state by f at every token keeps it for tau tokens (Tallec & Ollivier, 2018, arXiv:1804.11188,
section 2, who set the biases by it). Here f is that of tokens as they are read, not that of the bias alone.

An LSTM's gates depend on its output and not on its cell, so f is the derivative of the cell by the cell of the token
before: this holds for every memory that has a ``cell``, a controller's as well. A GRU's gate follows from its equation.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from everlong.data import Chunk
from everlong.memory import Memory
from everlong.models.base import AnyLanguageModel
from everlong.models.gru import GRU
from everlong.nn.scan import layer_weights

TOKENS = 32
"""Tokens that gates are averaged over, in each lane."""
QUANTILES = (10, 50, 90)

Gates = Float[Tensor, "b l d"]


def time_scales(model: AnyLanguageModel, chunk: Chunk, memory: Memory) -> dict[str, float]:
    """``time_scale_qP_layer_N`` in tokens: percentiles over the units of each layer; none without gates."""
    held: Any = memory
    # A feed-forward controller has a cell of no layers.
    if not isinstance(model, GRU) and not (hasattr(memory, "cell") and held.cell.numel()):
        return {}
    gates: list[Tensor] = []
    for at in range(min(TOKENS, chunk.tokens.shape[1])):
        token, starts = chunk.tokens[:, at : at + 1], chunk.starts[:, at : at + 1]
        if isinstance(model, GRU):
            found, held = gru_gates(model, token, starts, held)
        else:
            found, held = cell_gates(model, token, starts, held)
        # The first token of a document has nothing to forget.
        gates.append(found[held.position > 1])
    kept = torch.cat(gates).double()
    if not len(kept):
        return {}
    scales = 1 / (1 - kept.mean(dim=0).clamp(max=1 - 1e-9))
    return {
        f"time_scale_q{percent}_layer_{n}": float(layer.quantile(percent / 100))
        for n, layer in enumerate(scales)
        for percent in QUANTILES
    }


def cell_gates(model: AnyLanguageModel, token: Tensor, starts: Tensor, memory: Memory) -> tuple[Gates, Any]:
    """Forget gates at a token, and the memory after it."""
    before: Any = memory.map(lambda leaf: leaf.detach().requires_grad_() if leaf.is_floating_point() else leaf)
    _, after = model(token, before, starts=starts)
    layers: list[Tensor] = []
    for n in range(before.cell.shape[1]):
        (slope,) = torch.autograd.grad(after.cell[:, n].sum(), before.cell, retain_graph=True)
        layers.append(slope[:, n])
    return torch.stack(layers, dim=1), after.detach()


@torch.no_grad()
def gru_gates(model: GRU, token: Tensor, starts: Tensor, memory: Any) -> tuple[Gates, Any]:
    """Update gates at a token, and the memory after it: what a layer reads is the layer below's new output."""
    _, after = model(token, memory, starts=starts)
    x = model.embedding(token[:, 0])
    layers: list[Tensor] = []
    for n, (w_ih, w_hh, b_ih, b_hh) in enumerate(layer_weights(model.cells)):
        gates = x @ w_ih.t() + b_ih + memory.hidden[:, n] @ w_hh.t() + b_hh
        layers.append(torch.sigmoid(gates.chunk(3, dim=1)[1]))
        x = after.hidden[:, n]
    return torch.stack(layers, dim=1), after
