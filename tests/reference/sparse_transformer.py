"""The Sparse Transformer from its sets: every query of every head scores the positions it sees, one by one.

Positions are those of one document that is read from its beginning, with the weights of one of our models.
"""

from typing import Any

import torch
from torch import Tensor


def near(i: int, *, pattern: str, stride: int) -> set[int]:
    """``A1`` of position `i`."""
    if pattern == "strided":
        return set(range(max(0, i - stride + 1), i + 1))
    return {j for j in range(i + 1) if j // stride == i // stride}


def far(i: int, *, pattern: str, stride: int, columns: range) -> set[int]:
    """``A2`` of position `i`; `columns` are the summary columns of the fixed pattern."""
    if pattern == "strided":
        return {j for j in range(i + 1) if (i - j) % stride == 0}
    return {j for j in range(i + 1) if j % stride in columns}


def summary_columns(config: Any, head: int) -> range:
    """The summary columns of a head, counted among those that look far."""
    block = head % config.sub_blocks
    return range(config.stride - (block + 1) * config.summary, config.stride - block * config.summary)


def in_context(config: Any, i: int, seen: set[int]) -> set[int]:
    """Those of the positions that `i` sees that are not farther than the context, measured in tokens or in rows."""
    rows = config.context // config.stride
    if config.pattern == "strided":
        return {j for j in seen if i - j < config.context}
    return {j for j in seen if i // config.stride - j // config.stride < rows}


def sees(config: Any, layer: int, head: int, i: int) -> set[int]:
    """The positions that position `i` sees in a head of a layer."""
    looks_far = {"merged": True, "split": head >= config.n_heads // 2, "interleaved": layer % 2 == 1}[config.heads]
    looks_near = config.heads == "merged" or not looks_far
    index = head - config.n_heads // 2 if config.heads == "split" else head
    seen: set[int] = set()
    if looks_near:
        seen |= near(i, pattern=config.pattern, stride=config.stride)
    if looks_far:
        columns = summary_columns(config, index)
        seen |= {i} | far(i, pattern=config.pattern, stride=config.stride, columns=columns)
    return in_context(config, i, seen)


def turned(x: Tensor, position: int, base: float) -> Tensor:
    """Coordinates ``(i, i + e / 2)`` turned as complex numbers, a whole number of times in a million positions."""
    half = len(x) // 2
    speed = 1 / base ** (torch.arange(half, dtype=torch.float64) / half)
    turns = (speed * 1_000_000 / (2 * torch.pi)).round().clamp(min=1)
    angle = position * turns * 2 * torch.pi / 1_000_000
    y = torch.complex(x[:half], x[half:]) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([y.real, y.imag])


def attention(config: Any, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """``[t, h, e]`` from queries, keys and values of the same shape."""
    out = []
    for head in range(config.n_heads):
        for i in range(len(query)):
            seen = sorted(sees(config, layer, head, i))
            q = turned(query[i, head], i, config.rope_base)
            keys = [turned(key[j, head], j, config.rope_base) for j in seen]
            scores = torch.stack([q @ k for k in keys]) / query.shape[-1] ** 0.5
            out.append(scores.softmax(dim=0) @ value[seen, head])
    return torch.stack(out).unflatten(0, (config.n_heads, -1)).transpose(0, 1)


def read(model: Any, tokens: Tensor) -> Tensor:
    """Logits ``[t, v]`` of one document ``[t]``."""
    c = model.config
    h = model.embedding.weight[tokens] + model.columns.weight[torch.arange(len(tokens)) % c.stride]
    for n, layer in enumerate(model.layers):
        query, key, value = layer.project(layer.attention_norm(h)).unflatten(-1, (3, c.n_heads, -1)).unbind(1)
        a = h + layer.out(attention(c, n, query, key, value).flatten(1))
        up = layer.ff.up(layer.ff_norm(a))
        h = a + layer.ff.down(up * (1 + torch.erf(up / 2**0.5)) / 2)
    return model.head.logits(model.norm(h)[None])[0]
