"""Small configs of every causal architecture: windows and rings are shorter than the streams that the laws read."""

from functools import cache
from typing import Any

import torch

from everlong.models import LanguageModel, create_model, list_models
from everlong.testing import Subject

SMALL = {"vocab_size": 11, "d_model": 8, "n_layers": 2}
XL = {**SMALL, "n_heads": 2, "d_ff": 12, "segment": 4, "mem_len": 6}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gru": ("gru", SMALL),
    "gru, one layer, chrono": ("gru", {**SMALL, "n_layers": 1, "chrono_max": 20}),
    "lstm": ("lstm", SMALL),
    "lstm, three layers, dropout": ("lstm", {**SMALL, "n_layers": 3, "dropout": 0.3}),
    "transformer": ("transformer", {**SMALL, "n_heads": 2, "d_ff": 12, "context": 7}),
    "transformer, dropout": ("transformer", {**SMALL, "n_heads": 4, "d_ff": 12, "context": 16, "dropout": 0.3}),
    "transformer that sees itself": ("transformer", {**SMALL, "n_heads": 1, "d_ff": 12, "context": 1}),
    "xl, memory no multiple of the segment": ("transformer-xl", XL),
    "xl, memory of two segments": ("transformer-xl", {**XL, "mem_len": 8, "dropout": 0.2, "attention_dropout": 0.2}),
    "xl, pre-norm, untied": ("transformer-xl", {**XL, "norm": "pre", "tied_biases": False}),
    "xl, same length": ("transformer-xl", {**XL, "same_length": True}),
    "xl, same length, pre-norm, clamped": (
        "transformer-xl",
        {**XL, "same_length": True, "norm": "pre", "clamp_len": 3},
    ),
    "xl, clamped": ("transformer-xl", {**XL, "clamp_len": 2, "n_layers": 3}),
    "xl, no memory": ("transformer-xl", {**XL, "mem_len": 0}),
    "xl, sliding window": ("transformer-xl", {**XL, "segment": 1, "mem_len": 5}),
    "xl, adaptive": ("transformer-xl", {**XL, "cutoffs": (3, 6)}),
    "xl, adaptive, narrowing": ("transformer-xl", {**XL, "cutoffs": (3, 6), "div_val": 2}),
}
# An architecture that is new in the registry is heard at once, with a memory as its config has it by default.
CASES |= {name: (name, SMALL) for name in list_models("causal") if name not in {known for known, _ in CASES.values()}}


@cache
def model(case: str) -> LanguageModel[Any]:
    """The model of a case, in float32 and with its dropout."""
    torch.manual_seed(0)
    name, fields = CASES[case]
    return create_model(name, **fields)


@cache
def subject(case: str) -> Subject:
    """The model of a case as the laws take it."""
    return Subject.of(model(case))
