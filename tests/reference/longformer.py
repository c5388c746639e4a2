"""Longformer's attention with all pairs scored, and whole models that read one text token by token, key by key.

Everything a token sees is listed as (key, value) pairs and goes through one softmax, with every rotation done as a
complex number. Written from the equations in `everlong.models.longformer` and the paper's section 3, with the weights
of one of our models and dropout off.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.reference.attention import rotate_one_by_one


def jointly_masked_attention(lines: Sequence[tuple[Tensor, Tensor, Tensor, Tensor]]) -> Tensor:
    """One softmax over the keys of several lines, of each of which the tokens ask another query.

    A line is a query ``[b, t, h, e]``, keys and values ``[b, s, h, e]``, and ``visible[b, t, h, s]``.
    """
    scores = [
        (torch.einsum("bthe,bshe->bths", query, key) / math.sqrt(query.shape[-1])).masked_fill(~visible, -math.inf)
        for query, key, _, visible in lines
    ]
    weights = torch.cat(scores, dim=-1).softmax(dim=-1)
    return torch.einsum("bths,bshe->bthe", weights, torch.cat([value for _, _, value, _ in lines], dim=1))


def softmax_over(scores: list[Tensor], values: list[Tensor]) -> Tensor:
    weights = torch.softmax(torch.stack(scores), dim=0)
    return sum((weight * value for weight, value in zip(weights, values, strict=True)), torch.zeros_like(values[0]))


def score(query: Tensor, key: Tensor, *, distance: int, base: float) -> Tensor:
    """``q . k / sqrt(e)`` where the key lies `distance` tokens before the query (after it, where negative)."""
    turned = rotate_one_by_one(query, index=distance, base=base)
    return turned @ key / math.sqrt(len(key))


def causal_attention(
    query: Tensor, key: Tensor, value: Tensor, *, window: int, dilations: Sequence[int], n_global: int, base: float
) -> Tensor:
    """Attention of a document from its beginning: ``[t, h, e]``."""
    widest = (window - 1) * max(dilations)
    out = torch.empty_like(query)
    for h, dilation in enumerate(dilations):
        for t in range(len(query)):
            distances = {t - i * dilation: i * dilation for i in range(window) if t - i * dilation >= 0}
            for pin in range(min(n_global, t)):
                # Beyond the window, pins stand in order before the oldest token that any head could see.
                distances.setdefault(pin, widest + n_global - pin)
            scores = [score(query[t, h], key[k, h], distance=d, base=base) for k, d in distances.items()]
            out[t, h] = softmax_over(scores, [value[k, h] for k in distances])
    return out


def read_causal(model: Any, tokens: Tensor) -> Tensor:
    """Logits ``[t, v]`` of one document ``[t]``."""
    c = model.config
    x = model.embedding(tokens)
    for layer, window, dilations in zip(model.layers, c.windows, c.dilations, strict=True):
        parts = layer.project(layer.attention_norm(x)).chunk(3, dim=-1)
        query, key, value = (part.unflatten(-1, (c.n_heads, -1)) for part in parts)
        seen = causal_attention(
            query, key, value, window=window, dilations=dilations, n_global=c.n_global, base=c.rope_base
        )
        x = x + layer.out(seen.flatten(1))
        x = x + layer.ff.down(F.relu(layer.ff.up(layer.ff_norm(x))))
    return model.head.logits(model.norm(x)[None])[0]


def encode(model: Any, tokens: Tensor, *, global_tokens: Sequence[int]) -> Tensor:
    """Hidden states ``[t, d]`` of one text ``[t]``."""
    c, time = model.config, len(tokens)
    pre, turns = c.norm == "pre", c.positions == "rotary"
    x = model.embedding(tokens)
    if not turns:
        x = torch.stack([row + model.places.weight[t % c.n_positions] for t, row in enumerate(x)])
    x = x if pre else model.norm(x)
    for layer, window, dilations in zip(model.layers, c.windows, c.dilations, strict=True):
        h = layer.attention_norm(x) if pre else x
        local, whole = (
            [part.unflatten(-1, (c.n_heads, -1)) for part in project(h).chunk(3, dim=-1)]
            for project in (layer.project, layer.project_global)
        )
        seen = torch.empty_like(local[0])
        for head, dilation in enumerate(dilations):
            for t in range(time):
                if t in global_tokens:
                    keys, (query, key, value) = list(range(time)), whole
                else:
                    band = range(t - window // 2 * dilation, t + window // 2 * dilation + 1, dilation)
                    near = [k for k in band if 0 <= k < time and k not in global_tokens]
                    keys, (query, key, value) = [*global_tokens, *near], local
                scores = [
                    score(query[t, head], key[k, head], distance=t - k if turns else 0, base=c.rope_base) for k in keys
                ]
                seen[t, head] = softmax_over(scores, [value[k, head] for k in keys])
        x = x + layer.out(seen.flatten(1))
        x = x if pre else layer.attention_norm(x)
        x = x + layer.ff.down(F.gelu(layer.ff.up(layer.ff_norm(x) if pre else x)))
        x = x if pre else layer.ff_norm(x)
    return model.norm(x) if pre else x
