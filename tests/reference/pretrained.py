"""BERT and RoBERTa one token and one head at a time, with weights under the names of the published checkpoints.

Written from the equations of Devlin et al. (2019) and Vaswani et al. (2017), in float64, without a class of ours:

    x_t = LN(word_{token t} + position_t + type_0)                 position_t = table row t; RoBERTa: row t + pad + 1
    a_t = LN(x_t + O [head_1; ..]_t)                               head = softmax(q_t . k / sqrt(e)) v
    y_t = LN(a_t + W2 gelu(W1 a_t + b1) + b2)
    logits = E LN(gelu(W y_t + b)) + c
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

Weights = Mapping[str, Tensor]


def hidden_states(weights: Weights, config: Mapping[str, Any], tokens: list[int]) -> Tensor:
    """Hidden states ``[t, d]`` of one text; names without ``bert.`` or ``roberta.`` before them."""
    skipped = config["pad_token_id"] + 1 if config["model_type"] == "roberta" else 0
    stream = []
    for t, token in enumerate(tokens):
        word = row(weights, "embeddings.word_embeddings", token)
        place = row(weights, "embeddings.position_embeddings", t + skipped)
        kind = row(weights, "embeddings.token_type_embeddings", 0)
        stream.append(normed(word + place + kind, weights, "embeddings.LayerNorm", config))
    for n in range(config["num_hidden_layers"]):
        stream = layer(stream, {k.removeprefix(f"encoder.layer.{n}."): w for k, w in weights.items()}, config)
    return torch.stack(stream)


def layer(stream: list[Tensor], weights: Weights, config: Mapping[str, Any]) -> list[Tensor]:
    e = config["hidden_size"] // config["num_attention_heads"]
    query, key, value = (
        [affine(x, weights, f"attention.self.{name}") for x in stream] for name in ("query", "key", "value")
    )
    out = []
    for t, x in enumerate(stream):
        seen = []
        for head in range(config["num_attention_heads"]):
            part = slice(head * e, (head + 1) * e)
            likes = [math.exp(float(query[t][part] @ k[part]) / math.sqrt(e)) for k in key]
            seen.append(sum(like / sum(likes) * v[part] for like, v in zip(likes, value, strict=True)))
        a = normed(x + affine(torch.cat(seen), weights, "attention.output.dense"), weights, ATTENTION_NORM, config)
        wide = gelu(affine(a, weights, "intermediate.dense"))
        out.append(normed(a + affine(wide, weights, "output.dense"), weights, "output.LayerNorm", config))
    return out


ATTENTION_NORM = "attention.output.LayerNorm"


def hidden_token_logits(weights: Weights, config: Mapping[str, Any], state: Tensor) -> Tensor:
    """Logits ``[v]`` at one place, by the head's names of either kind."""
    if config["model_type"] == "roberta":
        transform, norm, bias = "lm_head.dense", "lm_head.layer_norm", "lm_head.bias"
    else:
        home = "cls.predictions"
        transform, norm, bias = f"{home}.transform.dense", f"{home}.transform.LayerNorm", f"{home}.bias"
    x = normed(gelu(affine(state, weights, transform)), weights, norm, config)
    return weights["embeddings.word_embeddings.weight"].double() @ x + weights[bias].double()


def row(weights: Weights, table: str, index: int) -> Tensor:
    return weights[f"{table}.weight"][index].double()


def affine(x: Tensor, weights: Weights, name: str) -> Tensor:
    return weights[f"{name}.weight"].double() @ x + weights[f"{name}.bias"].double()


def normed(x: Tensor, weights: Weights, name: str, config: Mapping[str, Any]) -> Tensor:
    spread = ((x - x.mean()) ** 2).mean()
    scaled = (x - x.mean()) / torch.sqrt(spread + config["layer_norm_eps"])
    return weights[f"{name}.weight"].double() * scaled + weights[f"{name}.bias"].double()


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2
