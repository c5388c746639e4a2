"""Everlong's own models, used exactly as its training loop and its generator use them."""

from typing import Any

from torch import Tensor

from everlong.models import LanguageModel, create_model

from ..case import Case
from ..contestant import Contestant


def transformer_xl(case: Case) -> Contestant:
    """Transformer-XL on the case's segments: the chunk where chunks are read, one token where tokens are decoded."""
    sizes = _attention_sizes(case)
    model = create_model("transformer-xl", norm="post", mem_len=case.mem_len, segment=case.segment, **sizes)
    return contest(model, case)


def transformer(case: Case) -> Contestant:
    """The dense baseline, its context as long as the others' memory."""
    return contest(create_model("transformer", context=case.mem_len, **_attention_sizes(case)), case)


def lstm(case: Case) -> Contestant:
    """The long short-term memory."""
    return contest(create_model("lstm", **_recurrent_sizes(case)), case)


def gru(case: Case) -> Contestant:
    """The gated recurrent unit."""
    return contest(create_model("gru", **_recurrent_sizes(case)), case)


def contest(model: LanguageModel[Any], case: Case) -> Contestant:
    """Enter any model that follows the contract."""

    def loss(tokens: Tensor, targets: Tensor, memory: Any) -> tuple[Tensor, Any]:
        nll, memory, _ = model.token_losses(tokens, targets, memory)
        return nll.mean(), memory.detach()

    return Contestant(module=model, case=case, advance=model, loss=loss)


def _attention_sizes(case: Case) -> dict[str, Any]:
    return _recurrent_sizes(case) | {"n_heads": case.n_heads, "d_ff": case.d_ff}


def _recurrent_sizes(case: Case) -> dict[str, Any]:
    return {"vocab_size": case.vocab_size, "d_model": case.d_model, "n_layers": case.n_layers, "dropout": 0.0}
