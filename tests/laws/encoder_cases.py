"""Small configs of every encoder: windows are shorter than the texts that the laws read."""

from functools import cache
from typing import Any

import torch

from everlong.models import Encoder, create_model, list_models
from everlong.testing import Subject

SMALL = {"vocab_size": 11, "d_model": 8, "n_layers": 2, "n_heads": 2, "d_ff": 12}
GRUS = {"vocab_size": 11, "d_model": 8}
HASHED = {"n_layers": 2, "n_heads": 2, "d_ff": 12, "window": 4, "bucket_size": 3, "n_buckets": 4, "n_hashes": 2}
REFORMER = {**SMALL, **HASHED}
INSIDE = {"n_layers": 1, "n_heads": 2, "d_ff": 12}

ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("bert", SMALL),
    "bert, post-norm, one head, dropout": ("bert", {**SMALL, "norm": "post", "n_heads": 1, "dropout": 0.3}),
    "bert, learned positions": ("bert", {**SMALL, "positions": "learned", "n_positions": 40}),
    "bert, as published, texts longer than its table": (
        "bert",
        {**SMALL, "norm": "post", "positions": "learned", "n_positions": 5, "n_layers": 3},
    ),
    "bilstm": ("bilstm", {**GRUS, "n_layers": 2}),
    "bilstm, one layer, dropout": ("bilstm", {**GRUS, "n_layers": 1, "dropout": 0.3}),
    "han": ("han", {**GRUS, "segment": 5}),
    "han, two layers, means, dropout": (
        "han",
        {**GRUS, "n_layers": 2, "pooling": "mean", "segment": 11, "dropout": 0.2},
    ),
    "han, largest numbers": ("han", {**GRUS, "pooling": "max", "segment": 15}),
    "hierarchical, interleaved": ("hierarchical-encoder", {**SMALL, "segment": 5, "n_layers": 4}),
    "hierarchical, late, post-norm, dropout": (
        "hierarchical-encoder",
        {**SMALL, "segment": 7, "n_layers": 3, "layout": "SSD", "norm": "post", "dropout": 0.2},
    ),
    "hierarchical, sections alone, one head": (
        "hierarchical-encoder",
        {**SMALL, "segment": 40, "layout": "S", "n_heads": 1},
    ),
    "hierarchical, bert inside": (
        "hierarchical-encoder",
        {**SMALL, "segment": 5, "n_layers": 3, "inside": "bert", "inside_config": INSIDE},
    ),
    "hierarchical, longformer with learned positions inside, late, dropout": (
        "hierarchical-encoder",
        {
            **SMALL,
            "segment": 11,
            "layout": "SDD",
            "dropout": 0.2,
            "inside": "longformer-encoder",
            "inside_config": {**INSIDE, "window": 4, "norm": "post", "positions": "learned", "n_positions": 7},
        },
    ),
    "hierarchical, reformer inside, post-norm": (
        "hierarchical-encoder",
        {**SMALL, "segment": 9, "layout": "SDS", "norm": "post", "inside": "reformer-encoder", "inside_config": HASHED},
    ),
    "longformer": ("longformer-encoder", {**SMALL, "window": 6}),
    "longformer, dilated by head, windows that grow, dropout": (
        "longformer-encoder",
        {**SMALL, "n_layers": 3, "window": (2, 4, 8), "dilation": (1, (2, 1), (1, 3)), "dropout": 0.2},
    ),
    "longformer, dilated": ("longformer-encoder", {**SMALL, "window": 2, "dilation": 3}),
    "longformer, window wider than the text": ("longformer-encoder", {**SMALL, "window": 90}),
    "longformer, as published, texts longer than its table": (
        "longformer-encoder",
        {**SMALL, "window": 6, "norm": "post", "positions": "learned", "n_positions": 20},
    ),
    "reformer": ("reformer-encoder", REFORMER),
    "reformer, all hash, dropout": ("reformer-encoder", {**REFORMER, "layers": ("lsh",), "dropout": 0.2}),
    "reformer, axial, duplicates once, in pieces": (
        "reformer-encoder",
        {**REFORMER, "positions": "axial", "axial_shape": (3, 4), "count_duplicates": False, "ff_piece": 3},
    ),
    "reformer, not reversible, chunks of one": (
        "reformer-encoder",
        {**REFORMER, "reversible": False, "bucket_size": 1, "n_hashes": 3, "n_layers": 3},
    ),
    "reformer, one chunk": ("reformer-encoder", {**REFORMER, "bucket_size": 90, "n_hashes": 1}),
}
# An architecture that is new in the registry is heard at once, as its config has it by default.
ENCODERS |= {
    name: (name, {"vocab_size": 11, "d_model": 8, "n_layers": 2})
    for name in list_models("encoder")
    if name not in {known for known, _ in ENCODERS.values()}
}


@cache
def encoder(case: str) -> Encoder:
    """The encoder of a case, in float32 and with its dropout."""
    torch.manual_seed(0)
    name, fields = ENCODERS[case]
    return create_model(name, **fields)


@cache
def encoder_subject(case: str) -> Subject:
    """The encoder of a case as the laws take it."""
    return Subject.of(encoder(case))
