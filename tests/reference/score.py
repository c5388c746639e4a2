"""Score functions of one query ``[d]`` and one key ``[e]``, and attention over a list of keys, as they are written."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def additive(q: Tensor, k: Tensor, *, w: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """``v · tanh(W q + U k)``."""
    return v @ torch.tanh(w @ q + u @ k)


def concat(q: Tensor, k: Tensor, *, w: Tensor, v: Tensor) -> Tensor:
    """``v · tanh(W [q; k])``."""
    return v @ torch.tanh(w @ torch.cat([q, k]))


def dot(q: Tensor, k: Tensor) -> Tensor:
    """``q · k``."""
    return sum((a * b for a, b in zip(q, k, strict=True)), torch.zeros(()))


def scaled_dot(q: Tensor, k: Tensor) -> Tensor:
    """``q · k / sqrt(e)``."""
    return dot(q, k) / math.sqrt(len(k))


def general(q: Tensor, k: Tensor, *, w: Tensor) -> Tensor:
    """``q · W k``."""
    return q @ w @ k


def cosine(q: Tensor, k: Tensor, *, strength: Tensor) -> Tensor:
    """``strength · q · k / (|q| |k|)``, each squared length a millionth longer."""
    return strength * dot(q, k) / ((dot(q, q) + 1e-6).sqrt() * (dot(k, k) + 1e-6).sqrt())


def location(q: Tensor, place: int, *, w: Tensor) -> Tensor:
    """``(W q)_place``, and minus infinity behind the last row of W."""
    return w[place] @ q if place < len(w) else torch.tensor(-math.inf, dtype=q.dtype)


def score_one(score: object, q: Tensor, k: Tensor, place: int) -> Tensor:
    """What one of our score modules should say of a query and the key at a place, from its weights."""
    of = dict(score.named_parameters())  # type: ignore[attr-defined]
    match type(score).__name__:
        case "Additive":
            return additive(q, k, w=of["query.weight"], u=of["key.weight"], v=of["out"])
        case "Concat":
            return concat(q, k, w=of["both.weight"], v=of["out"])
        case "Dot":
            return dot(q, k)
        case "ScaledDot":
            return scaled_dot(q, k)
        case "General":
            return general(q, k, w=of["key.weight"])
        case "Cosine":
            return cosine(q, k, strength=of["strength"])
        case _:
            return location(q, place, w=of["places.weight"])


def attend_one(
    scores: Sequence[Tensor], values: Sequence[Tensor], visible: Sequence[bool]
) -> tuple[Tensor, list[Tensor]]:
    """The mean of the visible values by their softmax, and the weights; zeros where nothing is visible."""
    powers = [score.exp() if seen else torch.zeros_like(score) for score, seen in zip(scores, visible, strict=True)]
    if not any(visible):
        return torch.zeros_like(values[0]), powers
    weights = [power / sum(powers) for power in powers]
    return sum((w * v for w, v in zip(weights, values, strict=True)), torch.zeros_like(values[0])), weights
