"""The hierarchical Transformer over a whole document, one token at a time, with the weights of one of our models."""

import math
from typing import Any

import torch
from torch import Tensor

from tests.reference.attention import rotate_one_by_one
from tests.reference.bert import norm_one
from tests.reference.recurrent import gru_one_by_one


def paragraphs_of(tokens: list[int], *, longest: int, separator: int | None) -> list[list[int]]:
    """The indices of the tokens of each paragraph."""
    found: list[list[int]] = [[]]
    for t, token in enumerate(tokens):
        after_separators = t > 0 and tokens[t - 1] == separator and token != separator
        if after_separators or len(found[-1]) == longest:
            found.append([])
        found[-1].append(t)
    return found


def hidden_one_by_one(model: Any, tokens: list[int]) -> Tensor:
    """Hidden states ``[t, d]``, normed, of a document."""
    c = model.config
    stream = [model.embedding.weight[token] for token in tokens]
    paragraphs = paragraphs_of(tokens, longest=c.segment, separator=c.paragraph_token)
    number = [k for k, paragraph in enumerate(paragraphs) for _ in paragraph]
    for layer in model.encoder:
        stream = layer_one_by_one(layer, stream, paragraphs, number, [], c)
    summaries = torch.stack([summary_one([stream[i] for i in paragraph], model.summarizer) for paragraph in paragraphs])
    cell = dict(zip(("w_ih", "w_hh", "b_ih", "b_hh"), model.summarizer.cell.parameters(), strict=True))
    outputs = gru_one_by_one(summaries, torch.zeros(c.d_model, dtype=summaries.dtype), cell)
    states = [norm_one(g, model.summarizer.state_norm) for g in outputs]
    for layer in model.decoder:
        stream = layer_one_by_one(layer, stream, paragraphs, number, states, c)
    return torch.stack([norm_one(x, model.norm) for x in stream])


def layer_one_by_one(
    layer: Any, stream: list[Tensor], paragraphs: list[list[int]], number: list[int], states: list[Tensor], c: Any
) -> list[Tensor]:
    """Each token over its paragraph so far, and over the states of the last paragraphs that ended before its own."""
    d, e = c.d_model, c.d_model // c.n_heads
    normed = [norm_one(x, layer.attention_norm) for x in stream]
    w = layer.project.weight
    after = []
    for t, x in enumerate(stream):
        gathered = []
        for head in range(c.n_heads):
            rows = slice(head * e, (head + 1) * e)
            scores, values = [], []
            for k in [k for k in paragraphs[number[t]] if k <= t]:
                query = rotate_one_by_one(w[:d][rows] @ normed[t], index=t, base=c.rope_base)
                key = rotate_one_by_one(w[d : 2 * d][rows] @ normed[k], index=k, base=c.rope_base)
                scores.append(query @ key / math.sqrt(e))
                values.append(w[2 * d :][rows] @ normed[k])
            for k in range(max(0, number[t] - c.n_paragraphs), number[t] if states else 0):
                query = rotate_one_by_one(w[:d][rows] @ normed[t], index=number[t], base=c.rope_base)
                key = rotate_one_by_one(layer.recall.weight[:d][rows] @ states[k], index=k, base=c.rope_base)
                scores.append(query @ key / math.sqrt(e))
                values.append(layer.recall.weight[d:][rows] @ states[k])
            weights = torch.stack(scores).exp() / torch.stack(scores).exp().sum()
            gathered.append(sum(weight * value for weight, value in zip(weights, values, strict=True)))
        a = x + layer.out.weight @ torch.cat(gathered)
        inner = layer.ff.up.weight @ norm_one(a, layer.ff_norm) + layer.ff.up.bias
        after.append(a + layer.ff.down.weight @ inner.relu() + layer.ff.down.bias)
    return after


def summary_one(states: list[Tensor], summarizer: Any) -> Tensor:
    """What each head makes of its part of some states, normed, side by side."""
    normed = [norm_one(x, summarizer.norm) for x in states]
    return attention_pool_one(normed, summarizer.score)[0]


def attention_pool_one(states: list[Tensor], score: Any) -> tuple[Tensor, Tensor]:
    """``sum_i softmax_i(u . tanh(W h_i + b)) h_i`` (Yang et al., 2016, eq. 5-7), and the weights of the last head."""
    heads = len(score.context)
    parts, weights = [], torch.empty(0)
    for head in range(heads):
        mapped = [torch.tanh(score.map.weight @ h + score.map.bias).chunk(heads)[head] for h in states]
        scores = torch.stack([score.context[head] @ x for x in mapped])
        weights = scores.exp() / scores.exp().sum()
        parts.append(sum(weight * h.chunk(heads)[head] for weight, h in zip(weights, states, strict=True)))
    return torch.cat(parts), weights
