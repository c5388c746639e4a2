"""A model of your own under the contract, and the laws that check it.

Fading memory: each unit keeps a running mean of the token vectors, with a time scale it learns.

    h_t = a h_{t-1} + (1 - a) E[x_t]        logits_t = h_t U^T

Run it: ``python examples/your_own_model.py``.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from everlong.clock import Clock
from everlong.heads import LinearHead
from everlong.memory import Memory, memory_type
from everlong.models.base import Advance, LanguageModel, ModelConfig
from everlong.nn.scan import State, scan
from everlong.shapes import Hidden, Tokens
from everlong.testing import verify_contract


@memory_type
class FadingMemory(Memory):
    """The running mean of every lane."""

    position: Int[Tensor, "b"]
    mean: Float[Tensor, "b 1 d"]


class Fading(LanguageModel[FadingMemory]):
    """Running means of token vectors."""

    architecture = "fading"
    Config = ModelConfig

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.time_scale = nn.Parameter(torch.randn(config.d_model))
        self.head = LinearHead(self.embedding, tied=False)

    def init_memory(self, lanes: int) -> FadingMemory:
        """Zero means in every lane."""
        return FadingMemory(
            position=torch.zeros(lanes, dtype=torch.int64, device=self.device),
            mean=torch.zeros(lanes, 1, self.config.d_model, dtype=self.dtype, device=self.device),
        ).made_by(self)

    def advance(self, tokens: Tokens, memory: FadingMemory, clock: Clock) -> Advance[FadingMemory]:
        """Read a chunk; `scan` cuts it where documents begin and lanes end."""
        hidden, (mean,) = scan(self._run, self.embedding(tokens), (memory.mean,), clock=clock)
        return Advance(hidden=hidden, memory=FadingMemory(position=clock.following, mean=mean), aux={})

    def _run(self, x: Hidden, state: State) -> tuple[Hidden, State]:
        keep = self.time_scale.sigmoid()
        mean, means = state[0][:, 0], []
        for t in range(x.shape[1]):
            mean = keep * mean + (1 - keep) * x[:, t]
            means.append(mean)
        return torch.stack(means, dim=1), (mean[:, None],)


if __name__ == "__main__":
    torch.manual_seed(0)
    verify_contract(Fading(ModelConfig(vocab_size=16, d_model=8, n_layers=1)))
    print("All ten laws hold.")
