"""Hugging Face's BART and LED: the default library's encoder-decoders, for short sources and for long ones."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import BartConfig, BartForConditionalGeneration, LEDConfig, LEDForConditionalGeneration

from ..case import Case
from ..contestant import IGNORE, Contestant
from ..texts import Writer, padding_mask


def bart(case: Case) -> Contestant:
    """Attention by SDPA."""
    positions = max(case.source, case.chunk + 1)
    config = BartConfig(**_sizes(case), max_position_embeddings=positions, attn_implementation="sdpa")
    return _writer(BartForConditionalGeneration(config), case)


def led(case: Case) -> Contestant:
    """The first token of a source is global."""
    config = LEDConfig(
        **_sizes(case),
        attention_window=case.window,
        max_encoder_position_embeddings=case.source,
        max_decoder_position_embeddings=case.chunk + 1,
    )

    def marks(source: Tensor) -> dict[str, Tensor]:
        seen_by_all = torch.zeros_like(source)
        seen_by_all[:, : case.n_global] = 1
        return {"global_attention_mask": seen_by_all}

    return _writer(LEDForConditionalGeneration(config), case, marks=marks)


def _writer(model: Any, case: Case, marks: Any = lambda _source: {}) -> Contestant:
    def foresee(source: Tensor, lengths: Tensor | None, tokens: Tensor) -> Tensor:
        real = padding_mask(source, lengths)
        return model(
            input_ids=source, attention_mask=real, decoder_input_ids=tokens, use_cache=False, **marks(source)
        ).logits

    def nats(
        source: Tensor, lengths: Tensor | None, tokens: Tensor, targets: Tensor, _of_targets: Tensor | None
    ) -> Tensor:
        # Targets look back only, so what is behind the real ones needs no mask.
        logits = foresee(source, lengths, tokens)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="sum")

    def write(source: Tensor, lengths: Tensor | None, beams: int, count: int) -> Tensor:
        real = torch.ones_like(source) if lengths is None else padding_mask(source, lengths)
        written = model.generate(
            source, attention_mask=real, num_beams=beams, do_sample=False, max_new_tokens=count, **marks(source)
        )
        return written[:, 1:]

    return Writer(model, case, foresee=foresee, nats=nats, write=write)


def _sizes(case: Case) -> dict[str, Any]:
    """No token ends a text, so all write equally many; the padding symbol is one that no text has."""
    return {
        "vocab_size": case.vocab_size + 1,
        "pad_token_id": case.vocab_size,
        "bos_token_id": None,
        "eos_token_id": None,
        "forced_eos_token_id": None,
        "decoder_start_token_id": 0,
        "d_model": case.d_model,
        "encoder_layers": case.n_layers,
        "decoder_layers": case.n_layers,
        "encoder_attention_heads": case.n_heads,
        "decoder_attention_heads": case.n_heads,
        "encoder_ffn_dim": case.d_ff,
        "decoder_ffn_dim": case.d_ff,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
        "activation_function": "relu",
    }
