"""Hugging Face's Mistral with a sliding window: the default library's causal windowed model."""

from typing import Any

from torch import Tensor
from transformers import MistralConfig, MistralForCausalLM

from ..case import Case
from ..contestant import Contestant, next_token_loss


def build(case: Case) -> Contestant:
    """As many key heads as query heads, and a gated feed-forward cut to the parameters of a plain one."""
    config = MistralConfig(
        vocab_size=case.vocab_size,
        hidden_size=case.d_model,
        intermediate_size=2 * case.d_ff // 3,
        num_hidden_layers=case.n_layers,
        num_attention_heads=case.n_heads,
        num_key_value_heads=case.n_heads,
        sliding_window=case.window,
        max_position_embeddings=case.positions,
        attention_dropout=0.0,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = MistralForCausalLM(config)

    def advance(tokens: Tensor, memory: Any) -> tuple[Tensor, Any]:
        output = model(tokens, past_key_values=memory, use_cache=True)
        return output.logits, output.past_key_values

    def loss(tokens: Tensor, targets: Tensor, _memory: Any) -> tuple[Tensor, float, None]:
        return next_token_loss(model(tokens, use_cache=False).logits, targets), 0.0, None

    return Contestant(module=model, case=case, advance=advance, loss=loss)
