"""x-transformers with recurrence (`max_mem_len`), in its two ways to mark positions."""

from typing import Any

from torch import Tensor
from x_transformers import Decoder, TransformerWrapper

from ..case import Case
from ..contestant import Contestant, next_token_loss


def t5_bias(case: Case) -> Contestant:
    """T5's relative bias, which the package refuses to combine with its flash path."""
    return _build(case, Decoder(dim=case.d_model, depth=case.n_layers, heads=case.n_heads, rel_pos_bias=True))


def rotary_flash(case: Case) -> Contestant:
    """Rotary positions on the fused kernel: no relative term in the scores, so less work than Transformer-XL."""
    layers = Decoder(dim=case.d_model, depth=case.n_layers, heads=case.n_heads, rotary_pos_emb=True, attn_flash=True)
    return _build(case, layers)


def _build(case: Case, layers: Decoder) -> Contestant:
    model = TransformerWrapper(
        num_tokens=case.vocab_size,
        max_seq_len=case.chunk,
        max_mem_len=case.mem_len,
        use_abs_pos_emb=False,
        attn_layers=layers,
    )

    def advance(tokens: Tensor, memory: Any) -> tuple[Tensor, Any]:
        return model(tokens, mems=memory, return_mems=True)

    def loss(tokens: Tensor, targets: Tensor, memory: Any) -> tuple[Tensor, float, Any]:
        logits, memory = advance(tokens, memory)
        return next_token_loss(logits, targets), 0.0, memory

    return Contestant(module=model, case=case, advance=advance, loss=loss)
