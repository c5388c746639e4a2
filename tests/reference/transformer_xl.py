"""Transformer-XL as its authors compute it: time first, segments counted from the call, memory as a list of tensors.

Written after the paper's appendix B and the published code's `mem_transformer.py`, with the weights of one of our
models and dropout off. A memory begins empty and grows to `mem_len`; it holds the inputs of every layer.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def relative_shift(x: Tensor) -> Tensor:
    """The authors' trick on ``[q, k, b, h]``: pad a column, view with rows and columns swapped, drop the first row."""
    zero = torch.zeros(x.shape[0], 1, *x.shape[2:], dtype=x.dtype)
    padded = torch.cat([zero, x], dim=1)
    return padded.view(x.shape[1] + 1, x.shape[0], *x.shape[2:])[1:].view_as(x)


def mask_of(query: int, memory: int, *, mem_len: int, same_length: bool) -> Tensor:
    """True where a query must not look, ``[q, k]``."""
    ones = torch.ones(query, memory + query)
    if not same_length:
        return ones.triu(1 + memory).bool()
    surplus = memory + query - mem_len
    shift = query - surplus if surplus > 0 else query
    return (ones.triu(1 + memory) + ones.tril(-shift)).bool()


def read_segment(model: Any, tokens: Tensor, memory: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Logits ``[b, q, v]`` of one segment ``[b, q]`` and the next memory: ``n_layers`` tensors ``[m, b, d]``."""
    c = model.config
    heads, width = c.n_heads, c.d_model // c.n_heads
    hidden = model.embedding(tokens.T)
    hidden = hidden if c.cutoffs else hidden * c.d_model**0.5
    query_len, memory_len = len(hidden), len(memory[0]) if memory else 0
    distance = torch.arange(memory_len + query_len - 1, -1, -1.0, dtype=hidden.dtype)
    if c.clamp_len > 0:
        distance = distance.clamp(max=c.clamp_len)
    speed = 1 / 10000 ** (torch.arange(0.0, c.d_model, 2.0, dtype=hidden.dtype) / c.d_model)
    angle = torch.outer(distance, speed)
    encoding = torch.cat([angle.sin(), angle.cos()], dim=-1)
    inputs: list[Tensor] = []
    for n, layer in enumerate(model.layers):
        inputs.append(hidden)
        u, w = (bias[0 if c.tied_biases else n] for bias in (model.content_bias, model.distance_bias))
        line = torch.cat([memory[n], hidden]) if memory else hidden
        normed = layer.attention_norm(line) if c.norm == "pre" else line
        q, k, v = layer.project(normed).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (heads, width)) for part in (q[-query_len:], k, v))
        r = layer.project_distance(encoding).unflatten(-1, (heads, width))
        content = torch.einsum("ibnd,jbnd->ijbn", q + u, k)
        position = relative_shift(torch.einsum("ibnd,jnd->ijbn", q + w, r))
        score = (content + position) / width**0.5
        hide = mask_of(query_len, memory_len, mem_len=c.mem_len, same_length=c.same_length)
        weight = score.masked_fill(hide[:, :, None, None], -torch.inf).softmax(dim=1)
        seen = layer.out(torch.einsum("ijbn,jbnd->ibnd", weight, v).flatten(2))
        up, down = layer.ff.up, layer.ff.down
        if c.norm == "pre":
            hidden = hidden + seen
            hidden = hidden + down(F.relu(up(layer.ff_norm(hidden))))
        else:
            hidden = layer.attention_norm(hidden + seen)
            hidden = layer.ff_norm(hidden + down(F.relu(up(hidden))))
    lines = [torch.cat([old, new]) for old, new in zip(memory, inputs, strict=True)] if memory else inputs
    after = [line[max(0, len(line) - c.mem_len) :].detach() for line in lines]
    return model.head.logits(model.norm(hidden).transpose(0, 1)), after


def read(model: Any, tokens: Tensor, *, segment: int) -> Tensor:
    """Logits of a stream, segment by segment, beginning with no memory."""
    logits: list[Tensor] = []
    memory: list[Tensor] = []
    for at in range(0, tokens.shape[1], segment):
        part, memory = read_segment(model, tokens[:, at : at + segment], memory)
        logits.append(part)
    return torch.cat(logits, dim=1)
