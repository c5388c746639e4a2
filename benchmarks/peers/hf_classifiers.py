"""Hugging Face's BERT and Longformer for sequences: the default library's ways to tell the class of a text."""

from typing import Any

import torch
from torch import Tensor
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LongformerConfig,
    LongformerForSequenceClassification,
)

from ..case import Case
from ..contestant import Contestant
from ..texts import N_CLASSES, Teller, padding_mask


def bert(case: Case) -> Contestant:
    """Attention by SDPA, with a mask only where a text is shorter than another."""
    config = BertConfig(**_sizes(case), max_position_embeddings=case.positions, attn_implementation="sdpa")
    model = BertForSequenceClassification(config)

    def tell(tokens: Tensor, lengths: Tensor | None) -> Tensor:
        return model(tokens, attention_mask=padding_mask(tokens, lengths)).logits

    return Teller(model, case, tell)


def longformer(case: Case) -> Contestant:
    """The first token is global; positions are given, for it would count them from a padding symbol."""
    config = LongformerConfig(
        **_sizes(case), max_position_embeddings=case.positions, attention_window=case.window, pad_token_id=None
    )
    model = LongformerForSequenceClassification(config)

    def tell(tokens: Tensor, lengths: Tensor | None) -> Tensor:
        seen_by_all = torch.zeros_like(tokens)
        seen_by_all[:, : case.n_global] = 1
        positions = torch.arange(tokens.shape[1]).expand_as(tokens)
        real = padding_mask(tokens, lengths)
        return model(tokens, attention_mask=real, global_attention_mask=seen_by_all, position_ids=positions).logits

    return Teller(model, case, tell)


def _sizes(case: Case) -> dict[str, Any]:
    return {
        "vocab_size": case.vocab_size,
        "hidden_size": case.d_model,
        "num_hidden_layers": case.n_layers,
        "num_attention_heads": case.n_heads,
        "intermediate_size": case.d_ff,
        "type_vocab_size": 1,
        "num_labels": N_CLASSES,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
