"""dnc, the one packaged differentiable neural computer, between an embedding and an output layer.

What was read never reaches its controller within a call: inputs are joined once, before the first step, with what was
read last in the call before. Its step is cheaper than a right one by that product, and is measured as it is.
"""

from typing import Any

from dnc import DNC
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..case import Case
from ..contestant import Contestant, next_token_loss


class PackagedDNC(nn.Module):
    """Embedding, computer, logits. The computer's own output layer has the width of its input, as ours has."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.embedding = nn.Embedding(case.vocab_size, case.d_model)
        self.computer = DNC(
            case.d_model,
            case.d_model,
            num_hidden_layers=case.n_layers,
            nr_cells=case.memory_slots,
            cell_size=case.slot_size,
            read_heads=case.n_reads,
            independent_linears=False,
        )
        self.logits = nn.Linear(case.d_model, case.vocab_size)

    def forward(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """`[b t] -> [b t v]` and the package's own state."""
        hidden, state = self.computer(self.embedding(tokens), state or (None, None, None), reset_experience=False)
        return self.logits(hidden), state


def build(case: Case) -> Contestant:
    """One layer of the package, with one LSTM layer for each of the case's."""
    model = PackagedDNC(case)

    def loss(tokens: Tensor, targets: Tensor, state: Any) -> tuple[Tensor, float, Any]:
        logits, state = model(tokens, state)
        return next_token_loss(logits, targets), 0.0, pytree.tree_map(Tensor.detach, state)

    return Contestant(module=model, case=case, advance=model, loss=loss)
