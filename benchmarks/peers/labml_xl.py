"""labml-nn's Transformer-XL, with the embedding, output layer and memory of its own experiment."""

import torch
from labml import tracker
from torch import Tensor, nn

from ..case import Case
from ..contestant import Contestant, next_token_loss

tracker.debug = lambda *_: None  # attention calls it, and no published labml has it

from labml_nn.transformers.feed_forward import FeedForward  # noqa: E402
from labml_nn.transformers.xl import RelativeMultiHeadAttention, TransformerXL, TransformerXLLayer  # noqa: E402


class LabmlXL(nn.Module):
    """Tokens to logits and new hidden states, as `AutoregressiveModel` of its experiment, which needs torchvision."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        attention = RelativeMultiHeadAttention(case.n_heads, case.d_model, 0.0)
        keep_positions_in_reach(attention, reach=case.mem_len + case.chunk)
        layer = TransformerXLLayer(
            d_model=case.d_model,
            self_attn=attention,
            feed_forward=FeedForward(case.d_model, case.d_ff, 0.0),
            dropout_prob=0.0,
        )
        self.embedding = nn.Embedding(case.vocab_size, case.d_model)
        self.transformer = TransformerXL(layer, case.n_layers)
        self.output = nn.Linear(case.d_model, case.vocab_size)

    def forward(self, tokens: Tensor, memory: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Read `tokens [b t]`; hidden states are time first."""
        remembered, time = (len(memory[0]) if memory else 0), tokens.shape[1]
        visible = torch.ones(time, remembered + time, dtype=torch.bool).tril(remembered)
        hidden, states = self.transformer(self.embedding(tokens.t()), memory, visible[..., None])
        return self.output(hidden).transpose(0, 1), states


def keep_positions_in_reach(attention: RelativeMultiHeadAttention, *, reach: int) -> None:
    """Cut the learned table of 2 x 4096 positions to the 2 x `reach` in use: its gradient would dominate the step."""
    rows = slice(attention.P - reach, attention.P + reach)
    attention.key_pos_embeddings = nn.Parameter(attention.key_pos_embeddings[rows].detach().clone())
    attention.key_pos_bias = nn.Parameter(attention.key_pos_bias[rows].detach().clone())
    attention.P = reach


def build(case: Case) -> Contestant:
    """The model with the memory its experiment merges by hand."""
    model = LabmlXL(case)

    def advance(tokens: Tensor, memory: list[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
        logits, states = model(tokens, memory or [])
        if memory:
            states = [torch.cat(pair) for pair in zip(memory, states, strict=True)]
        return logits, [state[-case.mem_len :] for state in states]

    def loss(tokens: Tensor, targets: Tensor, memory: list[Tensor] | None) -> tuple[Tensor, float, list[Tensor]]:
        logits, memory = advance(tokens, memory)
        return next_token_loss(logits, targets), 0.0, memory

    return Contestant(module=model, case=case, advance=advance, loss=loss)
