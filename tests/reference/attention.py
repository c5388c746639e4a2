"""Softmax attention, one query and one key at a time.

All take one lane: queries ``[t, h, e]`` of a chunk and keys and values ``[s, h, e]`` of ring and chunk together, the
chunk last. ``first[t]`` is the index of the oldest key that token `t` sees; it sees all from there up to itself.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def windowed_attention_one_by_one(query: Tensor, key: Tensor, value: Tensor, *, first: Sequence[int]) -> Tensor:
    """``o_t = sum_k softmax_k(q_t . k_k / sqrt(e)) v_k``."""
    before = len(key) - len(query)
    out = []
    for t in range(len(query)):
        for h in range(query.shape[1]):
            seen = range(first[t], before + t + 1)
            scores = torch.stack([query[t, h] @ key[k, h] / math.sqrt(query.shape[2]) for k in seen])
            weights = scores.exp() / scores.exp().sum()
            out.append(sum(weight * value[k, h] for weight, k in zip(weights, seen, strict=True)))
    return torch.stack(out).view_as(query)


def relative_attention_one_by_one(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    position_key: Tensor,
    content_bias: Tensor,
    distance_bias: Tensor,
    first: Sequence[int],
) -> Tensor:
    """``A_tk = (q_t . k_k + q_t . r_d + u . k_k + w . r_d) / sqrt(e)`` with ``d = t - k`` (Dai et al., 2019, eq. 5).

    ``position_key[d]`` is ``[h, e]``: the projected encoding of the distance `d`.
    """
    before = len(key) - len(query)
    out = []
    for t in range(len(query)):
        for h in range(query.shape[1]):
            seen = range(first[t], before + t + 1)
            scores = []
            for k in seen:
                r = position_key[before + t - k, h]
                a, b = query[t, h] @ key[k, h], query[t, h] @ r
                c, d = content_bias[h] @ key[k, h], distance_bias[h] @ r
                scores.append((a + b + c + d) / math.sqrt(query.shape[2]))
            weights = torch.softmax(torch.stack(scores), dim=0)
            out.append(sum(weight * value[k, h] for weight, k in zip(weights, seen, strict=True)))
    return torch.stack(out).view_as(query)


def rotate_one_by_one(x: Tensor, *, index: int, base: float) -> Tensor:
    """Rotary embedding of one vector ``[e]``: each pair ``(i, i + e/2)`` as a complex number, turned."""
    half = len(x) // 2
    turned = []
    for i in range(half):
        angle = torch.as_tensor(index * base ** (-2 * i / len(x)), dtype=x.dtype)
        turned.append(torch.complex(x[i], x[i + half]) * torch.polar(torch.ones_like(angle), angle))
    return torch.stack([z.real for z in turned] + [z.imag for z in turned])


def sinusoid(distance: int, *, width: int, clamp: int = 0) -> list[float]:
    """Sines then cosines of ``distance * 10000^(-2i / d)``, not interleaved."""
    distance = min(distance, clamp) if clamp else distance
    speeds = [10000 ** (-2 * i / width) for i in range(width // 2)]
    return [math.sin(distance * speed) for speed in speeds] + [math.cos(distance * speed) for speed in speeds]


def relative_shift_one_by_one(by_distance: Tensor, *, memory: int) -> Tensor:
    """``[t, s]`` with columns for distances ``s - 1`` to 0, as ``[t, s]`` with columns for keys; the future is -inf."""
    time, keys = by_distance.shape
    out = torch.full_like(by_distance, -torch.inf)
    for t in range(time):
        for k in range(memory + t + 1):
            out[t, k] = by_distance[t, keys - 1 - (memory + t - k)]
    return out


def masked_attention(query: Tensor, key: Tensor, value: Tensor, *, visible: Tensor) -> Tensor:
    """One softmax over all keys that ``visible[b, t, h, s]`` shows, every pair scored; inputs are ``[b, t, h, e]``."""
    scores = torch.einsum("bthe,bshe->bths", query, key) / math.sqrt(query.shape[-1])
    weights = scores.masked_fill(~visible, -math.inf).softmax(dim=-1)
    return torch.einsum("bths,bshe->bthe", weights, value)
