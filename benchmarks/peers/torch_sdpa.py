"""A plain causal Transformer on PyTorch's fused attention, without memory: what the machine gives at best."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..case import Case
from ..contestant import Contestant, next_token_loss


class Block(nn.Module):
    """Pre-norm attention and feed-forward."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.n_heads = case.n_heads
        self.attention_norm = nn.LayerNorm(case.d_model)
        self.projections = nn.Linear(case.d_model, 3 * case.d_model, bias=False)
        self.output = nn.Linear(case.d_model, case.d_model, bias=False)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(case.d_model),
            nn.Linear(case.d_model, case.d_ff),
            nn.GELU(),
            nn.Linear(case.d_ff, case.d_model),
        )

    def forward(self, hidden: Tensor) -> Tensor:
        """`[b t d] -> [b t d]`."""
        heads = self.projections(self.attention_norm(hidden)).unflatten(-1, (3, self.n_heads, -1))
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        hidden = hidden + self.output(mixed.transpose(1, 2).flatten(2))
        return hidden + self.feed_forward(hidden)


class PlainTransformer(nn.Module):
    """Learned positions, blocks, logits."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.tokens = nn.Embedding(case.vocab_size, case.d_model)
        self.positions = nn.Embedding(case.chunk, case.d_model)
        self.blocks = nn.Sequential(*(Block(case) for _ in range(case.n_layers)), nn.LayerNorm(case.d_model))
        self.logits = nn.Linear(case.d_model, case.vocab_size)

    def forward(self, tokens: Tensor) -> Tensor:
        """`[b t] -> [b t v]`."""
        return self.logits(self.blocks(self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]))


def build(case: Case) -> Contestant:
    """Nothing is carried: each chunk is a stream of its own."""
    model = PlainTransformer(case)

    def advance(tokens: Tensor, _memory: Any) -> tuple[Tensor, None]:
        return model(tokens), None

    def loss(tokens: Tensor, targets: Tensor, _memory: Any) -> tuple[Tensor, float, None]:
        return next_token_loss(model(tokens), targets), 0.0, None

    torch.manual_seed(0)
    return Contestant(module=model, case=case, advance=advance, loss=loss)
