"""The Transformer, one lane and one token at a time, with the weights of one of our models and dropout off."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tests.reference.attention import rotate_one_by_one
from tests.reference.bert import norm_one


def hidden_one_by_one(model: Any, source: Sequence[int], tokens: Sequence[int]) -> Tensor:
    """Hidden states ``[t, d]`` of the decoder's tokens, after a source of any length, none included."""
    states, config = encode_one_by_one(model, source), model.config
    stream = [embed_one(model.embedding, token, t, config) for t, token in enumerate(tokens)]
    for layer in model.layers:
        d = config.d_model
        past: list[Tensor] = []
        after = []
        for t, x in enumerate(stream):
            h = norm_one(x, layer.attention_norm) if config.norm == "pre" else x
            past.append(h)
            first = max(0, t + 1 - config.context)
            seen = attend_one(
                (layer.project.weight, layer.project.bias), layer.out, h, past[first:], config, at=t, first=first
            )
            x = x + seen if config.norm == "pre" else norm_one(x + seen, layer.attention_norm)
            h = norm_one(x, layer.source_norm) if config.norm == "pre" else x
            weight = torch.cat([layer.ask.weight, layer.keep.weight])
            bias = torch.cat([layer.ask.bias, layer.keep.bias])
            if states:
                seen = attend_one((weight, bias), layer.source_out, h, states, config, at=None)
            else:
                seen = layer.source_out.weight @ torch.zeros(d, dtype=x.dtype) + layer.source_out.bias
            x = x + seen if config.norm == "pre" else norm_one(x + seen, layer.source_norm)
            after.append(forward_one(x, layer, config))
        stream = after
    return torch.stack([norm_one(x, model.norm) if config.norm == "pre" else x for x in stream])


def encode_one_by_one(model: Any, source: Sequence[int]) -> list[Tensor]:
    """States of the source tokens."""
    config = model.config
    table = model.embedding if model.source_embedding is None else model.source_embedding
    stream = [embed_one(table, token, t, config) for t, token in enumerate(source)]
    for layer in model.encoder_layers:
        normed = [norm_one(x, layer.attention_norm) if config.norm == "pre" else x for x in stream]
        weights = (layer.project.weight, layer.project.bias)
        seen = [attend_one(weights, layer.out, h, normed, config, at=t) for t, h in enumerate(normed)]
        stream = [x + y for x, y in zip(stream, seen, strict=True)]
        if config.norm == "post":
            stream = [norm_one(x, layer.attention_norm) for x in stream]
        stream = [forward_one(x, layer, config) for x in stream]
    return [norm_one(x, model.encoder_norm) for x in stream] if config.norm == "pre" else stream


def embed_one(table: Any, token: int, position: int, config: Any) -> Tensor:
    """``sqrt(d) E_token``, and the encoding of its position where positions are sinusoidal."""
    x = table.weight[token] * math.sqrt(config.d_model)
    if config.positions == "rotary":
        return x
    speeds = [10000 ** (-2 * i / config.d_model) for i in range(config.d_model // 2)]
    encoding = [f(position * speed) for speed in speeds for f in (math.sin, math.cos)]
    return x + torch.tensor(encoding, dtype=x.dtype)


def attend_one(
    weights: tuple[Tensor, Tensor],
    out: Any,
    x: Tensor,
    others: list[Tensor],
    config: Any,
    *,
    at: int | None,
    first: int = 0,
) -> Tensor:
    """What a token gathers from others; `at` is its place or ``None``, `first` that of the first other."""
    (w, b), d, e = weights, config.d_model, config.d_model // config.n_heads
    gathered = []
    for head in range(config.n_heads):
        q, k, v = (slice(part * d + head * e, part * d + (head + 1) * e) for part in range(3))
        query, keys = w[q] @ x + b[q], [w[k] @ y + b[k] for y in others]
        if at is not None and config.positions == "rotary":
            query = rotate_one_by_one(query, index=at, base=config.rope_base)
            keys = [rotate_one_by_one(key, index=first + n, base=config.rope_base) for n, key in enumerate(keys)]
        powers = [(query @ key / math.sqrt(e)).exp() for key in keys]
        gathered.append(sum(p * (w[v] @ y + b[v]) for p, y in zip(powers, others, strict=True)) / sum(powers))
    return out.weight @ torch.cat(gathered) + out.bias


def forward_one(x: Tensor, layer: Any, config: Any) -> Tensor:
    """The feed-forward map, added and normed."""
    h = norm_one(x, layer.ff_norm) if config.norm == "pre" else x
    h = layer.ff.down.weight @ torch.relu(layer.ff.up.weight @ h + layer.ff.up.bias) + layer.ff.down.bias
    return x + h if config.norm == "pre" else norm_one(x + h, layer.ff_norm)
