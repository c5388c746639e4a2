"""Bare `torch.nn.LSTM` and `torch.nn.GRU` between an embedding and an output layer, called as anybody calls them."""

from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..case import Case
from ..contestant import Contestant, next_token_loss


class BareRecurrence(nn.Module):
    """Embedding, library layer, logits."""

    def __init__(self, layer: nn.LSTM | nn.GRU, *, vocab_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, layer.input_size)
        self.layer = layer
        self.logits = nn.Linear(layer.hidden_size, vocab_size)

    def forward(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """`[b t] -> [b t v]` and the library's own state."""
        hidden, state = self.layer(self.embedding(tokens), state)
        return self.logits(hidden), state


def lstm(case: Case) -> Contestant:
    """`torch.nn.LSTM`, batch first."""
    return _build(case, nn.LSTM(case.d_model, case.d_model, case.n_layers, batch_first=True))


def gru(case: Case) -> Contestant:
    """`torch.nn.GRU`, batch first."""
    return _build(case, nn.GRU(case.d_model, case.d_model, case.n_layers, batch_first=True))


def _build(case: Case, layer: nn.LSTM | nn.GRU) -> Contestant:
    model = BareRecurrence(layer, vocab_size=case.vocab_size)

    def loss(tokens: Tensor, targets: Tensor, state: Any) -> tuple[Tensor, float, Any]:
        logits, state = model(tokens, state)
        detached = pytree.tree_map(Tensor.detach, state)
        return next_token_loss(logits, targets), 0.0, detached

    return Contestant(module=model, case=case, advance=model, loss=loss)
