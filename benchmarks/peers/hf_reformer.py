"""Hugging Face's Reformer: sorted buckets in every layer, reversible, with a cache that grows with the text."""

from typing import Any

from torch import Tensor
from transformers import ReformerConfig, ReformerModelWithLMHead
from transformers.utils import logging

from ..case import Case
from ..contestant import Contestant, next_token_loss

logging.set_verbosity_error()  # it says of every layer that it has chosen the number of buckets


def build(case: Case) -> Contestant:
    """All layers hash; the number of buckets is the model's own choice, by the length it first sees."""
    config = ReformerConfig(
        vocab_size=case.vocab_size,
        hidden_size=case.d_model,
        attention_head_size=case.d_model // case.n_heads,
        num_attention_heads=case.n_heads,
        feed_forward_size=case.d_ff,
        attn_layers=["lsh"] * case.n_layers,
        num_hashes=case.n_hashes,
        lsh_attn_chunk_length=case.bucket_size,
        max_position_embeddings=case.positions,
        # In training the product of these two must be the length of the text, exactly.
        axial_pos_shape=(-(-case.positions // case.bucket_size), case.bucket_size),
        axial_pos_embds_dim=(case.d_model // 4, case.d_model - case.d_model // 4),
        is_decoder=True,
        hidden_dropout_prob=0.0,
        lsh_attention_probs_dropout_prob=0.0,
        pad_token_id=None,
        eos_token_id=None,
    )
    model = ReformerModelWithLMHead(config)

    def advance(tokens: Tensor, memory: Any) -> tuple[Tensor, Any]:
        output = model(tokens, past_buckets_states=memory, use_cache=True)
        return output.logits, output.past_buckets_states

    def loss(tokens: Tensor, targets: Tensor, _memory: Any) -> tuple[Tensor, float, None]:
        return next_token_loss(model(tokens, use_cache=False).logits, targets), 0.0, None

    return Contestant(module=model, case=case, advance=advance, loss=loss)
