"""Hierarchies over one text, section by section and item by item, with our models' weights.

A text is a list of sections, each a list of tokens; nothing is padded anywhere.
"""

from typing import Any

import torch
from torch import Tensor

from tests.reference.bert import bert_layer_one, norm_one
from tests.reference.encoder_decoder import embed_one
from tests.reference.hierarchical_transformer import attention_pool_one
from tests.reference.recurrent import gru_one_by_one


def both_ways_one_by_one(x: Tensor, cells: Any) -> Tensor:
    """Hidden states ``[t, d]`` of a GRU forth and one back, layer by layer."""
    weights = list(cells.parameters())
    for layer in range(cells.num_layers):
        forth, back = (
            dict(zip(("w_ih", "w_hh", "b_ih", "b_hh"), weights[8 * layer + at : 8 * layer + at + 4], strict=True))
            for at in (0, 4)
        )
        zero = torch.zeros(cells.hidden_size, dtype=x.dtype)
        ahead, behind = gru_one_by_one(x, zero, forth), gru_one_by_one(x.flip(0), zero, back).flip(0)
        x = torch.cat([ahead, behind], dim=1)
    return x


def summed_up_one(hidden: Tensor, level: Any) -> tuple[Tensor, Tensor]:
    """One vector of some states, and their weights, by attention, mean or largest number."""
    if level.pooling == "attention":
        return attention_pool_one(list(hidden), level.score)
    even = torch.full((len(hidden),), 1 / len(hidden), dtype=hidden.dtype)
    return (hidden.mean(dim=0) if level.pooling == "mean" else hidden.amax(dim=0)), even


def han_one_by_one(model: Any, text: list[list[int]]) -> tuple[Tensor, Tensor, list[Tensor], Tensor]:
    """Hidden states of words, the document vector, weights of the words of each sentence, and of sentences."""
    words = [both_ways_one_by_one(model.embedding.weight[sentence], model.words.rnn.cells) for sentence in text]
    summed = [summed_up_one(states, model.words) for states in words]
    sentences = both_ways_one_by_one(torch.stack([vector for vector, _ in summed]), model.sentences.rnn.cells)
    document, by_sentence = summed_up_one(sentences, model.sentences)
    return torch.cat(words), document, [weights for _, weights in summed], by_sentence


def hierarchical_encoder_one_by_one(model: Any, text: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Hidden states of tokens, and the mean of the sections' vectors."""
    c = model.config
    sections = [[model.vector, *model.embedding.weight[section]] for section in text]
    if c.norm == "post":
        sections = [[norm_one(x, model.norm) for x in section] for section in sections]
    sections = through_layers_one_by_one(sections, model.layers, c)
    if c.norm == "pre":
        sections = [[norm_one(x, model.norm) for x in section] for section in sections]
    tokens = torch.stack([x for section in sections for x in section[1:]])
    return tokens, torch.stack([section[0] for section in sections]).mean(dim=0)


def through_layers_one_by_one(sections: list[list[Tensor]], layers: Any, config: Any) -> list[list[Tensor]]:
    """Sections, each a vector and its tokens, after layers over each section or over their vectors."""
    for kind, layer in zip(config.kinds, layers, strict=True):
        if kind == "S":
            sections = [bert_layer_one(section, layer, config) for section in sections]
        else:
            vectors = bert_layer_one([section[0] for section in sections], layer, config)
            sections = [[vector, *section[1:]] for vector, section in zip(vectors, sections, strict=True)]
    return sections


def hierarchical_source_one_by_one(model: Any, text: list[list[int]]) -> Tensor:
    """States of the source's tokens ``[t, d]``, each with its section's vector."""
    table = model.embedding if model.source_embedding is None else model.source_embedding
    places = iter(range(sum(map(len, text))))
    embedded = [[embed_one(table, token, next(places), model.config) for token in section] for section in text]
    sections = [[model.vector, *section] for section in embedded]
    sections = through_layers_one_by_one(sections, model.encoder_layers, model.config)
    return torch.stack([norm_one(x + section[0], model.encoder_norm) for section in sections for x in section[1:]])
