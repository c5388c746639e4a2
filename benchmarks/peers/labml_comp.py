"""labml-nn's Compressive Transformer, with the embedding, output layer and memory of its own experiment."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..case import Case
from ..contestant import Contestant, next_token_loss
from .labml_xl import keep_positions_in_reach  # with it comes the stub that labml-nn needs

from labml_nn.transformers.compressive import (  # isort: skip
    AttentionReconstructionLoss,
    CompressiveTransformer,
    CompressiveTransformerLayer,
    Conv1dCompression,
)
from labml_nn.transformers.feed_forward import FeedForward  # isort: skip
from labml_nn.transformers.xl import RelativeMultiHeadAttention  # isort: skip


@dataclass(frozen=True)
class Memory:
    """States of every layer, time first: the last ones, and what stands for those before them."""

    recent: list[Tensor]
    compressed: list[Tensor]

    @property
    def length(self) -> int:
        """Keys that precede a chunk."""
        return sum(len(states[0]) for states in (self.recent, self.compressed) if states)


class LabmlCompressive(nn.Module):
    """Tokens to logits and new hidden states, as `AutoregressiveModel` of its experiment, which needs torchvision."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        attention = RelativeMultiHeadAttention(case.n_heads, case.d_model, 0.0)
        keep_positions_in_reach(attention, reach=2 * case.mem_len + case.cmem_len)
        layer = CompressiveTransformerLayer(
            d_model=case.d_model,
            self_attn=attention,
            feed_forward=FeedForward(case.d_model, case.d_ff, 0.0),
            dropout_prob=0.0,
            compress=Conv1dCompression(case.compression_rate, case.d_model),
        )
        self.embedding = nn.Embedding(case.vocab_size, case.d_model)
        self.transformer = CompressiveTransformer(layer, case.n_layers)
        self.output = nn.Linear(case.d_model, case.vocab_size)

    def forward(self, tokens: Tensor, memory: Memory) -> tuple[Tensor, list[Tensor]]:
        """Read `tokens [b t]`; hidden states are time first."""
        time, remembered = tokens.shape[1], memory.length
        visible = torch.ones(time, remembered + time, dtype=torch.bool).tril(remembered)
        embedded = self.embedding(tokens.t())
        hidden, states = self.transformer(embedded, memory.recent, memory.compressed, visible[..., None])
        return self.output(hidden).transpose(0, 1), states

    @torch.no_grad()
    def remember(self, memory: Memory, states: list[Tensor], *, case: Case) -> tuple[Memory, list[Tensor]]:
        """The next memory, and the states that left the recent one for the compressed one."""
        if memory.recent:
            states = [torch.cat(pair) for pair in zip(memory.recent, states, strict=True)]
        slots = -(-max(len(states[0]) - case.mem_len, 0) // case.compression_rate)
        if slots == 0:
            return Memory(states, memory.compressed), []
        edge = slots * case.compression_rate
        old, recent = [state[:edge] for state in states], [state[edge:] for state in states]
        new = [layer.compress(state) for layer, state in zip(self.transformer.layers, old, strict=True)]
        if memory.compressed:
            new = [torch.cat(pair) for pair in zip(memory.compressed, new, strict=True)]
        return Memory(recent, [slot[-case.cmem_len :] for slot in new]), old


def build(case: Case) -> Contestant:
    """The model with the memory and the reconstruction loss of its experiment; long chunks are read by parts."""
    model = LabmlCompressive(case)
    reconstruction = AttentionReconstructionLoss(model.transformer.layers)

    def read(tokens: Tensor, memory: Memory | None) -> tuple[Tensor, Tensor | float, Memory]:
        memory, logits, others = memory or Memory([], []), [], 0.0
        for piece in tokens.split(case.mem_len, dim=1):
            found, states = model(piece, memory)
            memory, old = model.remember(memory, states, case=case)
            logits.append(found)
            others = others + reconstruction(states, old) if old and model.training else others
        return torch.cat(logits, dim=1), others, memory

    def advance(tokens: Tensor, memory: Memory | None) -> tuple[Tensor, Memory]:
        logits, _, memory = read(tokens, memory)
        return logits, memory

    def loss(tokens: Tensor, targets: Tensor, memory: Memory | None) -> tuple[Tensor, Tensor | float, Memory]:
        logits, others, memory = read(tokens, memory)
        return next_token_loss(logits, targets), others, memory

    return Contestant(module=model, case=case, advance=advance, loss=loss)
