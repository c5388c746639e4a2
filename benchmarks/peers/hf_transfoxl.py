"""Hugging Face's TransfoXL, from the last release line in which it runs."""

from typing import Any

from torch import Tensor
from torch.nn import functional as F
from transformers import TransfoXLConfig, TransfoXLLMHeadModel

from ..case import Case
from ..contestant import Contestant


def build(case: Case) -> Contestant:
    """Post-norm, shared biases, attention that grows over the segment, plain softmax: as ours."""
    config = TransfoXLConfig(
        vocab_size=case.vocab_size,
        cutoffs=[],
        adaptive=False,
        div_val=1,
        d_model=case.d_model,
        d_embed=case.d_model,
        n_head=case.n_heads,
        d_head=case.d_model // case.n_heads,
        d_inner=case.d_ff,
        n_layer=case.n_layers,
        mem_len=case.mem_len,
        clamp_len=-1,
        same_length=False,
        pre_lnorm=False,
        untie_r=False,
        dropout=0.0,
        dropatt=0.0,
    )
    model = TransfoXLLMHeadModel(config)

    def advance(tokens: Tensor, memory: Any) -> tuple[Tensor, Any]:
        output = model(tokens, mems=memory, return_dict=True)
        return output.prediction_scores, output.mems

    def loss(tokens: Tensor, targets: Tensor, memory: Any) -> tuple[Tensor, float, Any]:
        log_probabilities, memory = advance(tokens, memory)
        return F.nll_loss(log_probabilities.flatten(0, 1), targets.flatten()), 0.0, memory

    return Contestant(module=model, case=case, advance=advance, loss=loss)
