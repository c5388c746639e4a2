"""The Compressive Transformer as its Algorithms 1 and 2 have it: one lane, segments from the call, lists of vectors.

Written from the paper (Rae et al., 2020, section 3) with the weights of one of our models and dropout off. Memories
begin empty and grow, where the paper begins with zeros; what leaves them is compressed by loops over its blocks.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.reference.attention import sinusoid


@dataclass
class Past:
    """What a layer remembers: vectors ``[d]``, oldest first."""

    cmem: list[Tensor] = field(default_factory=list)
    mem: list[Tensor] = field(default_factory=list)
    use: list[float] = field(default_factory=list)
    gone: list[Tensor] = field(default_factory=list)
    """The last vectors that left `mem`: a dilated convolution reads them too."""


def compress(model: Any, layer: Any, old: list[Tensor], use: list[float], gone: list[Tensor]) -> list[Tensor]:
    """``f_c``: of `old`, which leaves the memory, one vector for every `rate`."""
    c = model.config
    rate = c.compression_rate
    if c.compression == "most-used":
        best = sorted(range(len(old)), key=lambda i: (-use[i], i))[: len(old) // rate]
        return [old[i] for i in sorted(best)]
    slots = []
    for at in range(0, len(old) - rate + 1, rate):
        block = old[at : at + rate]
        if c.compression == "max-pool":
            slots.append(torch.stack([torch.stack([h[i] for h in block]).max() for i in range(len(block[0]))]))
        elif c.compression == "mean-pool":
            slots.append(sum(block) / rate)
        elif c.compression == "identity":
            slots.append(block[0])
        else:
            step = 2 if c.compression == "dilated-conv" else 1
            before = [torch.zeros_like(old[0])] * rate + gone
            everything, last = before + old, len(before) + at + rate - 1
            kernel = layer.compressor.encoder.weight.unflatten(1, (rate, -1))
            taps = [kernel[:, rate - 1 - i] @ everything[last - i * step] for i in range(rate)]
            slots.append(layer.compressor.encoder.bias + sum(taps))
    return slots


def normed(model: Any, layer: Any, x: Tensor) -> Tensor:
    return layer.attention_norm(x) if model.config.norm == "pre" else x


def attend(model: Any, n: int, h: Tensor, line: Tensor) -> tuple[Tensor, Tensor]:
    """Relative attention ``[t, d]`` of a segment over a line that ends with it, and its weights ``[heads, t, s]``."""
    c, layer = model.config, model.layers[n]
    heads, before = c.n_heads, len(line) - len(h)
    u, w = (bias[0 if c.tied_biases else n] for bias in (model.content_bias, model.distance_bias))
    q, k, v = (part.unflatten(-1, (heads, -1)) for part in layer.project(normed(model, layer, line)).chunk(3, dim=-1))
    out, weights = [], torch.zeros(heads, len(h), len(line), dtype=h.dtype)
    for t in range(len(h)):
        seen = range(before + t + 1)
        codes = [sinusoid(before + t - s, width=c.d_model, clamp=c.clamp_len) for s in seen]
        r = layer.project_distance(torch.tensor(codes, dtype=h.dtype)).unflatten(-1, (heads, -1))
        query = q[before + t]
        score = ((query + u) * k[: before + t + 1]).sum(-1) + ((query + w) * r).sum(-1)
        weight = torch.softmax(score / math.sqrt(c.d_model // heads), dim=0)
        out.append((weight[..., None] * v[: before + t + 1]).sum(0).flatten())
        weights[:, t, : before + t + 1] = weight.T.detach()
    return layer.out(torch.stack(out)), weights


def read_by_content(model: Any, layer: Any, h: Tensor, memory: Tensor) -> Tensor:
    """Algorithm 2's ``attn(h, m)``: content alone, weights that do not learn."""
    weight = layer.project.weight.detach()
    frozen = torch.func.functional_call
    norm = {name: p.detach() for name, p in layer.attention_norm.named_parameters()}
    if model.config.norm == "pre":
        h, memory = frozen(layer.attention_norm, norm, (h,)), frozen(layer.attention_norm, norm, (memory,))
    d, heads = model.config.d_model, model.config.n_heads
    q, k, v = (
        x.unflatten(-1, (heads, -1))
        for x in (h @ weight[:d].T, memory @ weight[d : 2 * d].T, memory @ weight[2 * d :].T)
    )
    score = torch.einsum("the,she->hts", q, k) / math.sqrt(d // heads)
    return torch.einsum("hts,she->the", score.softmax(-1), v).flatten(1)


def read_segment(model: Any, tokens: Tensor, past: list[Past]) -> tuple[Tensor, Tensor]:
    """Algorithm 1: logits ``[t, v]`` of a segment and the loss of Algorithm 2; `past` moves on."""
    c = model.config
    h = model.embedding(tokens[None])[0]
    h = h if c.cutoffs else h * c.d_model**0.5
    loss = torch.zeros((), dtype=h.dtype)
    for n, (layer, held) in enumerate(zip(model.layers, past, strict=True)):
        line = torch.stack([*held.cmem, *held.mem, *h])
        seen, weights = attend(model, n, h, line)
        received = weights.sum(dim=(0, 1)).tolist()[len(held.cmem) : len(held.cmem) + len(held.mem)]
        use = [a + b for a, b in zip(held.use, received, strict=True)] + [0.0] * len(h)
        mem = held.mem + list(h)
        leaving = max(0, len(mem) - c.mem_len)
        old, held.mem, held.use = mem[:leaving], mem[leaving:], use[leaving:]
        new = compress(model, layer, old, use[:leaving], held.gone)
        if new and c.own_loss == "attention":
            stopped = [x.detach() for x in old]
            again = compress(model, layer, stopped, use[:leaving], [x.detach() for x in held.gone])
            gap = read_by_content(model, layer, h.detach(), torch.stack(stopped))
            gap = gap - read_by_content(model, layer, h.detach(), torch.stack(again))
            loss = loss + gap.square().mean()
        held.gone = (held.gone + old)[-c.context :] if c.context else []
        held.cmem = (held.cmem + new)[-c.cmem_len :]
        if c.norm == "pre":
            h = h + seen
            h = h + layer.ff.down(F.relu(layer.ff.up(layer.ff_norm(h))))
        else:
            h = layer.attention_norm(h + seen)
            h = layer.ff_norm(h + layer.ff.down(F.relu(layer.ff.up(h))))
    return model.head.logits(model.norm(h)[None])[0], loss


def read(model: Any, tokens: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Logits ``[b, t, v]`` of streams, and for each segment the loss, its mean over lanes."""
    segment = model.config.segment
    logits, losses = [], []
    for lane in tokens:
        past = [Past() for _ in model.layers]
        parts = [read_segment(model, part, past) for part in lane.split(segment)]
        logits.append(torch.cat([part for part, _ in parts]))
        losses.append(torch.stack([loss for _, loss in parts]))
    return torch.stack(logits), list(torch.stack(losses).mean(dim=0))
