"""local-attention's LocalTransformer, with plain residuals: its default, four streams of them, takes twice the time."""

from typing import Any

import torch
from local_attention import LocalTransformer
from torch import Tensor, nn

from ..case import Case
from ..contestant import Contestant, Encoder, hidden_token_loss, next_token_loss

State = tuple[Any, int]
"""Its cache, and how many tokens have been read."""


class PositionsFrom(nn.Embedding):
    """A table of positions that counts from `start`: the package embeds the whole text again for every new token."""

    start = 0

    def forward(self, index: Tensor) -> Tensor:
        """`[t] -> [t d]`."""
        return super().forward(index + self.start)


def causal(case: Case) -> Contestant:
    """Itself and `window` tokens before; its cached steps drift from the whole pass by a few hundredths of a logit."""
    model = _layers(case, num_tokens=case.vocab_size, causal=True, window=case.window)
    model.pos_emb = positions = PositionsFrom(case.positions, case.d_model)

    def step(tokens: Tensor, state: State | None) -> tuple[Tensor, State]:
        cache, done = state or (None, 0)
        positions.start = done
        logits, cache = model(tokens, cache=cache, return_cache=True)
        return logits, (cache, done + tokens.shape[1])

    def advance(tokens: Tensor, state: State | None) -> tuple[Tensor, State]:
        if state is None:
            return step(tokens, None)
        logits = []
        for token in tokens.split(1, dim=1):  # with a cache it takes one at a time
            found, state = step(token, state)
            logits.append(found)
        return torch.cat(logits, dim=1), state

    def loss(tokens: Tensor, targets: Tensor, _state: State | None) -> tuple[Tensor, float, None]:
        positions.start = 0
        return next_token_loss(model(tokens), targets), 0.0, None

    return Contestant(module=model, case=case, advance=advance, loss=loss)


class LocalEncoder(nn.Module):
    """The same layers, looking half a window to each side, between an embedding and an output of the same kind."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.tokens = nn.Embedding(case.vocab_size + 1, case.d_model)
        self.positions = nn.Embedding(case.positions, case.d_model)
        self.layers = _layers(case, num_tokens=None, causal=False, window=case.window // 2)
        self.logits = nn.Sequential(nn.LayerNorm(case.d_model), nn.Linear(case.d_model, case.vocab_size, bias=False))

    def forward(self, tokens: Tensor) -> Tensor:
        """`[b t] -> [b t d]`."""
        return self.layers(self.tokens(tokens) + self.positions.weight[: tokens.shape[1]])


def encoder(case: Case) -> Contestant:
    """Without global tokens: it has none."""
    model = LocalEncoder(case)

    def advance(tokens: Tensor, _memory: Any) -> tuple[Tensor, None]:
        return model.logits(model(tokens)), None

    def loss(tokens: Tensor, targets: Tensor, _memory: Any) -> tuple[Tensor, float, None]:
        return hidden_token_loss(model.logits, model(tokens), targets), 0.0, None

    return Encoder(module=model, case=case, advance=advance, loss=loss)


def _layers(case: Case, *, num_tokens: int | None, causal: bool, window: int) -> LocalTransformer:
    return LocalTransformer(
        num_tokens=num_tokens,
        max_seq_len=case.positions,
        dim=case.d_model,
        depth=case.n_layers,
        causal=causal,
        local_attn_window_size=window,
        dim_head=case.d_model // case.n_heads,
        heads=case.n_heads,
        ff_mult=case.d_ff // case.d_model,
        num_residual_streams=1,
    )
