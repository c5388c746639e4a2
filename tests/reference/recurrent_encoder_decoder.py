"""Recurrent encoder-decoders, one lane and one token at a time, with the weights of one of ours and dropout off."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tests.reference.recurrent import gru_one_by_one
from tests.reference.score import attend_one, score_one


def outputs_one_by_one(model: Any, source: Sequence[int], tokens: Sequence[int]) -> Tensor:
    """What predicts the next tokens ``[t, d]``, after a source of any length, none included."""
    config = model.config
    d = config.d_model
    states = encode_one_by_one(model, source)
    if states:
        first = torch.tanh(model.begin.weight @ states[0][d // 2 :] + model.begin.bias)
    else:
        first = torch.zeros(config.n_layers * d, dtype=model.dtype)
    h = list(first.split(d))
    out, outputs = torch.zeros(d, dtype=model.dtype), []
    for token in tokens:
        x = model.embedding.weight[token]
        if config.attention == "bahdanau":
            context = ask_one(model, h[-1], states)
            h = cells_one(model, torch.cat([x, context]), h)
            both = torch.cat([h[-1], context, x])
        else:
            h = cells_one(model, torch.cat([x, out]), h)
            both = torch.cat([ask_one(model, h[-1], states), h[-1]])
        out = torch.tanh(model.join.weight @ both + model.join.bias)
        outputs.append(out)
    return torch.stack(outputs)


def encode_one_by_one(model: Any, source: Sequence[int]) -> list[Tensor]:
    """States of the source tokens: forwards, then backwards."""
    if not source:
        return []
    table = model.embedding if model.source_embedding is None else model.source_embedding
    x = torch.stack([table.weight[token] for token in source])
    for n in range(model.config.n_layers):
        zero = torch.zeros(model.config.d_model // 2, dtype=x.dtype)
        ahead = gru_one_by_one(x, zero, weights_of(model.encoder_cells, f"l{n}"))
        back = gru_one_by_one(x.flip(0), zero, weights_of(model.encoder_cells, f"l{n}_reverse")).flip(0)
        x = torch.cat([ahead, back], dim=-1)
    return list(x)


def ask_one(model: Any, query: Tensor, states: list[Tensor]) -> Tensor:
    """What a state finds in the source."""
    if not states:
        return torch.zeros_like(query)
    scores = [score_one(model.score, query, state, place) for place, state in enumerate(states)]
    return attend_one(scores, states, [True] * len(states))[0]


def cells_one(model: Any, x: Tensor, h: list[Tensor]) -> list[Tensor]:
    """The states of all layers after one token."""
    after = []
    for n, before in enumerate(h):
        x = gru_one_by_one(x[None], before, weights_of(model.cells, f"l{n}"))[0]
        after.append(x)
    return after


def weights_of(cells: Any, layer: str) -> Mapping[str, Tensor]:
    """The weights of a layer by the names of tests/reference/recurrent.py."""
    return {
        short: getattr(cells, f"{name}_{layer}")
        for short, name in {"w_ih": "weight_ih", "w_hh": "weight_hh", "b_ih": "bias_ih", "b_hh": "bias_hh"}.items()
    }
