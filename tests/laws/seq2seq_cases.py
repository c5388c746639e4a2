"""Small configs of every encoder-decoder: windows are shorter than the streams that the laws read."""

from functools import cache
from typing import Any

import torch

from everlong.models import Seq2Seq, create_model, list_models
from everlong.testing import Subject

SMALL = {"vocab_size": 11, "d_model": 8, "n_layers": 2, "n_heads": 2, "d_ff": 12, "context": 7}
RECURRENT = {"vocab_size": 11, "d_model": 8}

SEQ2SEQ: dict[str, tuple[str, dict[str, Any]]] = {
    "encoder-decoder": ("encoder-decoder", SMALL),
    "encoder-decoder, as published, dropout": ("encoder-decoder", {**SMALL, "norm": "post", "dropout": 0.3}),
    "encoder-decoder, rotary, two tables": (
        "encoder-decoder",
        {**SMALL, "positions": "rotary", "shared_embedding": False, "n_layers": 1},
    ),
    "encoder-decoder that sees of itself itself alone": ("encoder-decoder", {**SMALL, "context": 1, "n_heads": 1}),
    "longformer": ("longformer-encoder-decoder", {**SMALL, "window": 4}),
    "longformer, dilated by head, rotary, dropout": (
        "longformer-encoder-decoder",
        {**SMALL, "window": (2, 6), "dilation": (1, (1, 3)), "positions": "rotary", "dropout": 0.3},
    ),
    "hierarchical": ("hierarchical-encoder-decoder", {**SMALL, "segment": 4}),
    "hierarchical, as published, one section after another, dropout": (
        "hierarchical-encoder-decoder",
        {**SMALL, "segment": 3, "layout": "SSD", "n_layers": 3, "norm": "post", "dropout": 0.3},
    ),
    "hierarchical, rotary, sections alone": (
        "hierarchical-encoder-decoder",
        {**SMALL, "segment": 5, "layout": "S", "positions": "rotary", "shared_embedding": False},
    ),
    "recurrent, bahdanau": ("recurrent-encoder-decoder", RECURRENT),
    "recurrent, bahdanau, two layers, dropout, general": (
        "recurrent-encoder-decoder",
        {**RECURRENT, "n_layers": 2, "dropout": 0.3, "score": "general", "shared_embedding": False},
    ),
    "recurrent, bahdanau, location": (
        "recurrent-encoder-decoder",
        {**RECURRENT, "score": "location", "n_positions": 6},
    ),
    "recurrent, luong, dot": ("recurrent-encoder-decoder", {**RECURRENT, "attention": "luong", "score": "dot"}),
    "recurrent, luong, two layers, concat": (
        "recurrent-encoder-decoder",
        {**RECURRENT, "attention": "luong", "score": "concat", "n_layers": 2},
    ),
    "recurrent, luong, cosine": ("recurrent-encoder-decoder", {**RECURRENT, "attention": "luong", "score": "cosine"}),
    "recurrent, luong, scaled dot": (
        "recurrent-encoder-decoder",
        {**RECURRENT, "attention": "luong", "score": "scaled-dot"},
    ),
}
# An architecture that is new in the registry is heard at once, as its config has it by default.
SEQ2SEQ |= {
    name: (name, {"vocab_size": 11, "d_model": 8, "n_layers": 2})
    for name in list_models("seq2seq")
    if name not in {known for known, _ in SEQ2SEQ.values()}
}


@cache
def seq2seq(case: str) -> Seq2Seq[Any]:
    """The model of a case, in float32 and with its dropout."""
    torch.manual_seed(0)
    name, fields = SEQ2SEQ[case]
    return create_model(name, **fields)


@cache
def seq2seq_subject(case: str) -> Subject:
    """The model of a case as the laws take it: with sources before it."""
    return Subject.of(seq2seq(case))
