"""BERT, one text, one token and one head at a time, with the weights of one of our models and dropout off."""

import math
from typing import Any

import torch
from torch import Tensor

from tests.reference.attention import rotate_one_by_one


def bert_one_by_one(model: Any, tokens: list[int]) -> Tensor:
    """Hidden states ``[t, d]`` of one text."""
    config = model.config
    stream = [model.embedding.weight[token] for token in tokens]
    if config.positions == "learned":
        stream = [x + model.places.weight[t % config.n_positions] for t, x in enumerate(stream)]
    if config.norm == "post":
        stream = [norm_one(x, model.norm) for x in stream]
    for layer in model.layers:
        stream = bert_layer_one(stream, layer, config)
    if config.norm == "pre":
        stream = [norm_one(x, model.norm) for x in stream]
    return torch.stack(stream)


def bert_layer_one(stream: list[Tensor], layer: Any, config: Any) -> list[Tensor]:
    """The next hidden states of a text."""
    if config.norm == "pre":
        seen = attention_one_by_one([norm_one(x, layer.attention_norm) for x in stream], layer, config)
        stream = [x + y for x, y in zip(stream, seen, strict=True)]
        return [x + feed_forward_one(norm_one(x, layer.ff_norm), layer.ff) for x in stream]
    seen = attention_one_by_one(stream, layer, config)
    stream = [norm_one(x + y, layer.attention_norm) for x, y in zip(stream, seen, strict=True)]
    return [norm_one(x + feed_forward_one(x, layer.ff), layer.ff_norm) for x in stream]


def attention_one_by_one(stream: list[Tensor], layer: Any, config: Any) -> list[Tensor]:
    """What each token gathers from all tokens, itself included."""
    d, e = config.d_model, config.d_model // config.n_heads
    w, b = layer.project.weight, layer.project.bias
    out = []
    for t, x in enumerate(stream):
        gathered = []
        for head in range(config.n_heads):
            rows = slice(head * e, (head + 1) * e)
            query = turned(w[:d][rows] @ x + b[:d][rows], t, layer, config)
            keys = [turned(w[d : 2 * d][rows] @ y + b[d : 2 * d][rows], k, layer, config) for k, y in enumerate(stream)]
            weights = [(query @ key / math.sqrt(e)).exp() for key in keys]
            values = [w[2 * d :][rows] @ y + b[2 * d :][rows] for y in stream]
            gathered.append(sum(u * v for u, v in zip(weights, values, strict=True)) / sum(weights))
        out.append(layer.out.weight @ torch.cat(gathered) + layer.out.bias)
    return out


def turned(x: Tensor, index: int, layer: Any, config: Any) -> Tensor:
    """A query or key as it meets others: turned by its place where the layer rotates."""
    return x if layer.rotary is None else rotate_one_by_one(x, index=index, base=config.rope_base)


def feed_forward_one(x: Tensor, ff: Any) -> Tensor:
    """``W2 gelu(W1 x + b1) + b2``."""
    return ff.down.weight @ gelu(ff.up.weight @ x + ff.up.bias) + ff.down.bias


def masked_logits_one(x: Tensor, head: Any) -> Tensor:
    """``LN(gelu(W h + b)) · E^T + c`` over the vocabulary, which is the table but for its last row."""
    x = norm_one(gelu(head.transform.weight @ x + head.transform.bias), head.norm)
    return torch.stack([head.weight[token] @ x + head.bias[token] for token in range(len(head.weight) - 1)])


def gelu(x: Tensor) -> Tensor:
    """``x P(X <= x)`` for a standard normal X (Hendrycks & Gimpel, 2016)."""
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def norm_one(x: Tensor, norm: Any) -> Tensor:
    """Layer normalisation of one vector."""
    spread = ((x - x.mean()) ** 2).mean()
    return norm.weight * (x - x.mean()) / torch.sqrt(spread + norm.eps) + norm.bias
