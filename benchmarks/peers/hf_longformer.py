"""Hugging Face's Longformer, an encoder: a window around each token, and global tokens at the beginning."""

from typing import Any

import torch
from torch import Tensor
from transformers import LongformerConfig, LongformerForMaskedLM

from ..case import Case
from ..contestant import Contestant, Encoder, hidden_token_loss


def build(case: Case) -> Contestant:
    """Masked language model; positions are given, for it would count them from a padding symbol that texts may hold."""
    config = LongformerConfig(
        vocab_size=case.vocab_size + 1,
        hidden_size=case.d_model,
        num_hidden_layers=case.n_layers,
        num_attention_heads=case.n_heads,
        intermediate_size=case.d_ff,
        attention_window=case.window,
        max_position_embeddings=case.positions,
        type_vocab_size=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=None,
    )
    model = LongformerForMaskedLM(config)

    def encode(tokens: Tensor) -> Tensor:
        seen_by_all = torch.zeros_like(tokens)
        seen_by_all[:, : case.n_global] = 1
        positions = torch.arange(tokens.shape[1]).expand_as(tokens)
        return model.longformer(tokens, position_ids=positions, global_attention_mask=seen_by_all).last_hidden_state

    def advance(tokens: Tensor, _memory: Any) -> tuple[Tensor, None]:
        return model.lm_head(encode(tokens)), None

    def loss(tokens: Tensor, targets: Tensor, _memory: Any) -> tuple[Tensor, float, None]:
        return hidden_token_loss(model.lm_head, encode(tokens), targets), 0.0, None

    return Encoder(module=model, case=case, advance=advance, loss=loss)
