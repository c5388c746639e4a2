"""Reformer, one query and one key at a time.

Attention takes one lane: queries ``[t, h, e]`` of a chunk, keys and values ``[s, h, e]`` of ring and chunk together,
the chunk last, and buckets ``[h, r, s]`` of that line.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from everlong.models import LanguageModel
from tests.reference.attention import rotate_one_by_one


def bucket_one_by_one(x: Tensor, rotation: Tensor) -> int:
    """``argmax [xR; -xR]`` of one vector."""
    turned = [float(x.detach() @ column) for column in rotation.T]
    return max(range(2 * len(turned)), key=lambda n: (turned + [-number for number in turned])[n])


def softmax_over(query: Tensor, key: Tensor, value: Tensor, seen: Counter[int], *, itself: int) -> Tensor:
    """Softmax attention of one query over keys that count so many times each; over itself where there is none."""
    seen = seen or Counter([itself])
    weights = {k: times * torch.exp(query @ key[k]) for k, times in seen.items()}
    total = sum(weights.values())
    return torch.stack([weight / total * value[k] for k, weight in weights.items()]).sum(dim=0)


def counted(rounds: Iterable[Iterable[int]], *, count_duplicates: bool) -> Counter[int]:
    """Keys of all rounds; ``exp(s - log N)``, summed over the `N` rounds that show a key, is ``exp(s)`` once."""
    times = Counter(k for keys in rounds for k in keys)
    return times if count_duplicates else Counter(dict.fromkeys(times, 1))


def hashed_attention_one_by_one(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    buckets: Tensor,
    *,
    first: Sequence[int],
    bucket_size: int,
    context: int,
    count_duplicates: bool,
) -> Tensor:
    """A token sees the last `bucket_size` of its bucket; ``first[t]`` is where its document begins in the line."""
    before = len(key) - len(query)
    out = torch.empty_like(query)
    for t in range(len(query)):
        here = before + t
        near = range(max(first[t], here - context + 1), here)
        for h in range(query.shape[1]):
            rounds = [[k for k in near if of[k] == of[here]][-bucket_size:] for of in buckets[h].tolist()]
            seen = counted(rounds, count_duplicates=count_duplicates)
            out[t, h] = softmax_over(query[t, h], key[:, h], value[:, h], seen, itself=here)
    return out


def chunked_attention_one_by_one(
    query: Tensor, key: Tensor, value: Tensor, buckets: Tensor, *, chunk: int, causal: bool, count_duplicates: bool
) -> Tensor:
    """A token sees its chunk of the sorted text and the one before it."""
    out = torch.empty_like(query)
    time = len(query)
    for h in range(query.shape[1]):
        chunks = []
        for of in buckets[h].tolist():
            order = sorted(range(time), key=lambda t, of=of: (of[t], t))
            chunks.append([order[at : at + chunk] for at in range(0, time, chunk)])
        for t in range(time):
            rounds = []
            for sort in chunks:
                mine = next(n for n, members in enumerate(sort) if t in members)
                seen = {*sort[mine], *sort[mine - 1]}
                rounds.append([k for k in seen if k != t and not (causal and k > t)])
            seen = counted(rounds, count_duplicates=count_duplicates)
            out[t, h] = softmax_over(query[t, h], key[:, h], value[:, h], seen, itself=t)
    return out


def shared_attention_one_by_one(query: Tensor, key: Tensor, value: Tensor, *, causal: bool) -> Tensor:
    """Dense attention in which a token sees itself only where it sees nothing else."""
    out = torch.empty_like(query)
    for t in range(len(query)):
        others = Counter(k for k in range(len(query)) if k != t and not (causal and k > t))
        for h in range(query.shape[1]):
            out[t, h] = softmax_over(query[t, h], key[:, h], value[:, h], others, itself=t)
    return out


def read(model: Any, tokens: Tensor) -> Tensor:
    """Logits of documents ``[b t]`` that are read at once, layer by layer as the paper has them."""
    hidden = torch.stack([torch.cat(_streams(model, row), dim=-1) for row in tokens])
    return model.head.logits(model.norm(hidden))


def read_encoder(encoder: Any, tokens: Tensor) -> Tensor:
    """Hidden states of whole texts ``[b t]``."""
    hidden = torch.stack([torch.cat(_streams(encoder, row), dim=-1) for row in tokens])
    return encoder.join(encoder.norm(hidden))


def _streams(model: Any, tokens: Tensor) -> tuple[Tensor, Tensor]:
    c = model.config
    x = model.embedding(tokens)
    if c.positions == "axial":
        (low, high), (a, b) = c.axial_shape, (model.positions.axial.low.weight, model.positions.axial.high.weight)
        x = x + torch.stack([torch.cat([a[t % low], b[t // low % high]]) for t in range(len(tokens))])
    y1, y2 = x, x
    for n, kind in enumerate(c.kinds):
        attention, forward = model.branches[2 * n], model.branches[2 * n + 1]
        y1 = y1 + (_local if kind == "local" else _hashed)(model, attention, y2)
        h = torch.relu(forward.norm(y1) @ forward.ff.up.weight.T + forward.ff.up.bias)
        y2 = y2 + h @ forward.ff.down.weight.T + forward.ff.down.bias
    return y1, y2


def _local(model: Any, part: Any, x: Tensor) -> Tensor:
    c, time = model.config, len(x)
    q, k, v = (part.project.norm(x) @ part.project.project.weight.T).view(time, 3, c.n_heads, -1).unbind(1)
    q, k = _turned(model, q), _turned(model, k)
    side = c.window - 1 if isinstance(model, LanguageModel) else c.window // 2
    out = torch.empty_like(q)
    for t in range(time):
        last = t if isinstance(model, LanguageModel) else min(t + side, time - 1)
        seen = Counter(range(max(0, t - side), last + 1))
        for h in range(c.n_heads):
            out[t, h] = softmax_over(q[t, h] / q.shape[2] ** 0.5, k[:, h], v[:, h], seen, itself=t)
    return out.flatten(1) @ part.out.weight.T


def _hashed(model: Any, part: Any, x: Tensor) -> Tensor:
    c, time = model.config, len(x)
    q, v = (part.project.norm(x) @ part.project.project.weight.T).view(time, 2, c.n_heads, -1).unbind(1)
    rotations = part.project.rotations
    buckets = torch.tensor(
        [
            [[bucket_one_by_one(q[t, h], rotations[r, h]) for t in range(time)] for r in range(c.n_hashes)]
            for h in range(c.n_heads)
        ]
    )
    q = _turned(model, q)
    k = q / q.norm(dim=-1, keepdim=True)
    duplicates = {"count_duplicates": c.count_duplicates}
    if isinstance(model, LanguageModel):
        sight = {"first": [0] * time, "bucket_size": c.bucket_size, "context": c.context}
        out = hashed_attention_one_by_one(q, k, v, buckets, **sight, **duplicates)
    else:
        out = chunked_attention_one_by_one(q, k, v, buckets, chunk=c.bucket_size, causal=False, **duplicates)
    return out.flatten(1) @ part.out.weight.T


def _turned(model: Any, x: Tensor) -> Tensor:
    if model.config.positions == "axial":
        return x
    rows = [[rotate_one_by_one(one, index=t, base=model.config.rope_base) for one in row] for t, row in enumerate(x)]
    return torch.stack([torch.stack(row) for row in rows])
