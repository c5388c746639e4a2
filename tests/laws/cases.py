"""Small configs of every causal architecture: windows and rings are shorter than the streams that the laws read."""

from functools import cache
from typing import Any

import torch

from everlong.models import LanguageModel, create_model, list_models
from everlong.testing import Subject

SMALL = {"vocab_size": 11, "d_model": 8, "n_layers": 2}
XL = {**SMALL, "n_heads": 2, "d_ff": 12, "segment": 4, "mem_len": 6}
CT = {**XL, "mem_len": 4, "cmem_len": 3, "compression_rate": 2}
SPARSE = {**SMALL, "n_heads": 2, "d_ff": 12, "stride": 4, "context": 12, "summary": 1, "sub_blocks": 2}
LONG = {**SMALL, "n_heads": 2, "d_ff": 12, "window": 5}
REFORMER = {
    **SMALL,
    "n_heads": 2,
    "d_ff": 12,
    "window": 5,
    "context": 12,
    "bucket_size": 3,
    "n_buckets": 4,
    "n_hashes": 2,
}
HIERARCHY = {**SMALL, "n_heads": 2, "d_ff": 12, "segment": 4, "n_paragraphs": 3}
MACHINE = {"vocab_size": 11, "d_model": 8, "n_layers": 1, "memory_slots": 6, "slot_size": 4, "n_reads": 2}

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
    "compressive": ("compressive-transformer", CT),
    "compressive, no size divides": (
        "compressive-transformer",
        {**CT, "mem_len": 7, "cmem_len": 5, "compression_rate": 3, "norm": "pre", "tied_biases": False},
    ),
    "compressive, blocks longer than segments": (
        "compressive-transformer",
        {**CT, "segment": 2, "mem_len": 3, "compression_rate": 5, "reconstruction": "none"},
    ),
    "compressive, dilated": (
        "compressive-transformer",
        {**CT, "compression": "dilated-conv", "compression_rate": 3, "mem_len": 5, "attention_dropout": 0.2},
    ),
    "compressive, auto-encoding, pre-norm": (
        "compressive-transformer",
        {**CT, "reconstruction": "auto-encoding", "mem_len": 0, "norm": "pre"},
    ),
    "compressive, dilated, auto-encoding": (
        "compressive-transformer",
        {**CT, "compression": "dilated-conv", "compression_rate": 3, "reconstruction": "auto-encoding", "clamp_len": 4},
    ),
    "compressive, max-pool": ("compressive-transformer", {**CT, "compression": "max-pool", "n_layers": 3}),
    "compressive, mean-pool, adaptive": (
        "compressive-transformer",
        {**CT, "compression": "mean-pool", "compression_rate": 4, "cutoffs": (3, 6), "div_val": 2},
    ),
    "compressive, most used": (
        "compressive-transformer",
        {**CT, "compression": "most-used", "mem_len": 8, "dropout": 0.2},
    ),
    "compressive, identity": ("compressive-transformer", {**CT, "compression": "identity", "compression_rate": 1}),
    "sparse, fixed": ("sparse-transformer", SPARSE),
    "sparse, fixed, split": (
        "sparse-transformer",
        {**SPARSE, "heads": "split", "n_heads": 4, "summary": 2, "dropout": 0.2},
    ),
    "sparse, fixed, interleaved, one summary": (
        "sparse-transformer",
        {**SPARSE, "heads": "interleaved", "n_layers": 3, "sub_blocks": 1, "context": 8},
    ),
    "sparse, fixed, one row": ("sparse-transformer", {**SPARSE, "heads": "split", "context": 4}),
    "sparse, strided": ("sparse-transformer", {**SPARSE, "pattern": "strided", "dropout": 0.2}),
    "sparse, strided, split": (
        "sparse-transformer",
        {**SPARSE, "pattern": "strided", "heads": "split", "stride": 5, "context": 15},
    ),
    "sparse, strided, interleaved": (
        "sparse-transformer",
        {**SPARSE, "pattern": "strided", "heads": "interleaved", "stride": 3, "context": 21},
    ),
    "sparse, strided, two rows": ("sparse-transformer", {**SPARSE, "pattern": "strided", "context": 8}),
    "sparse, strided, one row": ("sparse-transformer", {**SPARSE, "pattern": "strided", "context": 4}),
    "sparse, strided, rows of one": ("sparse-transformer", {**SPARSE, "pattern": "strided", "stride": 1}),
    "longformer": ("longformer", {**LONG, "n_global": 3}),
    "longformer, nothing pinned": ("longformer", {**LONG, "n_global": 0, "dropout": 0.2}),
    "longformer, more pinned than in the window": ("longformer", {**LONG, "window": 2, "n_global": 6, "dropout": 0.2}),
    "longformer, more pinned than a stream is long": ("longformer", {**LONG, "window": 3, "n_global": 40}),
    "longformer, dilated": ("longformer", {**LONG, "window": 4, "dilation": 3, "n_global": 2}),
    "longformer, windows that grow, dilated by head": (
        "longformer",
        {**LONG, "n_layers": 3, "window": (2, 3, 7), "dilation": (1, (1, 4), (3, 2)), "n_global": 3},
    ),
    "longformer that sees itself and the beginning": ("longformer", {**LONG, "window": 1, "n_global": 1}),
    "reformer": ("reformer", REFORMER),
    "reformer, all hash, dropout": ("reformer", {**REFORMER, "layers": ("lsh",), "dropout": 0.2, "n_hashes": 1}),
    "reformer, duplicates once": ("reformer", {**REFORMER, "count_duplicates": False, "n_hashes": 3, "n_layers": 3}),
    "reformer, axial, in pieces": (
        "reformer",
        {**REFORMER, "positions": "axial", "axial_shape": (3, 4), "axial_widths": (3, 5), "ff_piece": 3},
    ),
    "reformer, not reversible, few buckets": (
        "reformer",
        {**REFORMER, "reversible": False, "context": 40, "n_buckets": 2, "layers": ("lsh", "local")},
    ),
    "reformer that sees itself": ("reformer", {**REFORMER, "context": 1, "window": 1, "bucket_size": 1}),
    "hierarchical": ("hierarchical-transformer", HIERARCHY),
    "hierarchical, paragraphs that end with a token": (
        "hierarchical-transformer",
        {**HIERARCHY, "paragraph_token": 3, "segment": 7, "n_layers": 3, "dropout": 0.2},
    ),
    "hierarchical, separators alone": (
        "hierarchical-transformer",
        {**HIERARCHY, "paragraph_token": 0, "segment": 40, "n_paragraphs": 5},
    ),
    "hierarchical, summaries of embeddings": (
        "hierarchical-transformer",
        {**HIERARCHY, "encoder_layers": 0, "n_heads": 1, "segment": 3, "n_paragraphs": 1},
    ),
    "hierarchical, paragraphs of two tokens": (
        "hierarchical-transformer",
        {**HIERARCHY, "segment": 2, "n_layers": 3, "encoder_layers": 2, "n_paragraphs": 6},
    ),
    "hierarchical, more summaries than there will be": (
        "hierarchical-transformer",
        {**HIERARCHY, "segment": 5, "n_paragraphs": 40, "n_layers": 4, "encoder_layers": 1},
    ),
    "hierarchical, one paragraph a stream": ("hierarchical-transformer", {**HIERARCHY, "segment": 11}),
    "ntm": ("ntm", {**MACHINE, "n_writes": 2}),
    "ntm, feed-forward, dropout": ("ntm", {**MACHINE, "controller": "feed-forward", "n_layers": 2, "dropout": 0.2}),
    "ntm, two slots, one head of each kind": ("ntm", {**MACHINE, "memory_slots": 2, "n_reads": 1, "n_layers": 3}),
    "ntm, three that write": ("ntm", {**MACHINE, "n_writes": 3}),
    "dnc": ("dnc", MACHINE),
    "dnc, repaired": (
        "dnc",
        {**MACHINE, "deallocate": True, "mask_keys": True, "sharpen_links": True, "n_layers": 2, "dropout": 0.2},
    ),
    "dnc, feed-forward, one head": ("dnc", {**MACHINE, "controller": "feed-forward", "n_layers": 3, "n_reads": 1}),
    "dnc, more slots than tokens": ("dnc", {**MACHINE, "memory_slots": 40, "sharpen_links": True}),
    "mann": ("mann", MACHINE),
    "mann, feed-forward, dropout": ("mann", {**MACHINE, "controller": "feed-forward", "n_layers": 2, "dropout": 0.2}),
    "mann, strengths": ("mann", {**MACHINE, "strengths": True}),
    "mann, as many heads as slots": ("mann", {**MACHINE, "memory_slots": 3, "n_reads": 3, "usage_decay": 0.5}),
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
