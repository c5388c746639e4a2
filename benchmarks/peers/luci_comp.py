"""compressive-transformer-pytorch, whose step is cheaper than a right one: it stops training keys and values.

The first compression of a run detaches the key-value weights for good, so from the second step on no gradient reaches
them. The package has no other way to train, so this is what it is measured at.
"""

from typing import Any

import torch
from compressive_transformer_pytorch import CompressiveTransformer
from torch import Tensor

from ..case import Case
from ..contestant import Contestant, next_token_loss

State = tuple[Any, Tensor]
"""Memories of the finished segments, and the tokens of the open one."""


def gated(case: Case) -> Contestant:
    """The package's default: every residual is a gated recurrent unit."""
    return _build(case, gru_gated_residual=True)


def plain(case: Case) -> Contestant:
    """Plain residuals, as in the paper."""
    return _build(case, gru_gated_residual=False)


def _build(case: Case, *, gru_gated_residual: bool) -> Contestant:
    # Shorter segments than one compressed slot fail: their padding comes out too short for the convolution.
    segment = max(case.segment, case.compression_rate)
    model = CompressiveTransformer(
        num_tokens=case.vocab_size,
        dim=case.d_model,
        depth=case.n_layers,
        heads=case.n_heads,
        seq_len=segment,
        mem_len=case.mem_len,
        cmem_len=case.cmem_len,
        cmem_ratio=case.compression_rate,
        gru_gated_residual=gru_gated_residual,
        reconstruction_loss_weight=1.0,
    )

    def read(tokens: Tensor, state: State | None) -> tuple[Tensor, Tensor, State]:
        memories, begun = state or (None, tokens[:, :0])
        line, logits, others = torch.cat([begun, tokens], dim=1), [], 0.0
        for piece in line.split(segment, dim=1):
            # An unfinished segment is read again with each token: its states are not kept.
            found, after, reconstruction = model(piece, memories=memories)
            logits.append(found)
            others = others + reconstruction
            memories, begun = (memories, piece) if piece.shape[1] < segment else (after, piece[:, :0])
        return torch.cat(logits, dim=1)[:, -tokens.shape[1] :], others.squeeze(), (memories, begun)

    def advance(tokens: Tensor, state: State | None) -> tuple[Tensor, State]:
        logits, _, state = read(tokens, state)
        return logits, state

    def loss(tokens: Tensor, targets: Tensor, state: State | None) -> tuple[Tensor, Tensor, State]:
        logits, others, state = read(tokens, state)
        return next_token_loss(logits, targets), others, state

    return Contestant(module=model, case=case, advance=advance, loss=loss)
