"""Reformer's attention, one query and one key at a time; one lane, queries and keys of one line.

Queries ``[t, h, e]`` of a chunk, keys and values ``[s, h, e]`` of ring and chunk together, the chunk last, and buckets
``[h, r, s]`` of that line.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


def bucket_one_by_one(x: Tensor, rotation: Tensor) -> int:
    """``argmax [xR; -xR]`` of one vector."""
    turned = [float(x @ column) for column in rotation.T]
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
