"""How well a query fits a key, in seven ways, and the softmax attention over any of them.

    additive      v · tanh(W q + U k)            Bahdanau et al., 2015, arXiv:1409.0473, section A.1.2
    concat        v · tanh(W [q; k])             Luong et al., 2015, arXiv:1508.04025, eq. 8
    dot           q · k                          the same
    general       q · W k                        the same
    location      (W q)_i of the i-th key        the same, eq. 9
    scaled-dot    q · k / sqrt(e)                Vaswani et al., 2017, arXiv:1706.03762, eq. 1
    cosine        strength · cos(q, k)           Graves et al., 2014, arXiv:1410.5401, eq. 5 and 6

    weights_i = softmax_i( score(q, k_i) )       out = sum_i weights_i v_i

What depends on a key alone is computed by `prepare`, once for all queries that will ever meet it.
"""

import math
from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from everlong.nn.content import EPSILON

ScoreName = Literal["additive", "concat", "cosine", "dot", "general", "location", "scaled-dot"]

Queries = Float[Tensor, "b t d"]
Keys = Float[Tensor, "b s e"]
Prepared = Float[Tensor, "b s a"]
Scores = Float[Tensor, "b t s"]


class Score(nn.Module, ABC):
    """``score(query, keys)`` is `compare` of the query with the prepared keys."""

    prepared_width: int
    """Numbers of a prepared key."""

    def forward(self, query: Queries, keys: Keys) -> Scores:
        """How well every query fits every key."""
        return self.compare(query, self.prepare(keys))

    def prepare(self, keys: Keys) -> Prepared:
        """What `compare` needs of the keys."""
        return keys

    @abstractmethod
    def compare(self, query: Queries, prepared: Prepared) -> Scores:
        """How well every query fits every key, from what `prepare` made of the keys."""


class Dot(Score):
    """``q · k``, for vectors of one width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.prepared_width = width

    def compare(self, query: Queries, prepared: Prepared) -> Scores:
        """Products of queries and keys."""
        return query @ prepared.mT


class ScaledDot(Dot):
    """``q · k / sqrt(e)``, for vectors of one width `e`."""

    def compare(self, query: Queries, prepared: Prepared) -> Scores:
        """Products of queries and keys, as large for wide vectors as for narrow ones."""
        return super().compare(query / math.sqrt(query.shape[-1]), prepared)


class General(Dot):
    """``q · W k``, for vectors of any two widths."""

    def __init__(self, query_width: int, key_width: int) -> None:
        super().__init__(query_width)
        self.key = nn.Linear(key_width, query_width, bias=False)

    def prepare(self, keys: Keys) -> Prepared:
        """``W k``."""
        return self.key(keys)


class Cosine(Dot):
    """``strength · cos(q, k)``, for vectors of one width. The strength is learned; a zero vector is like nothing."""

    def __init__(self, width: int, *, strength: float = 10.0) -> None:
        super().__init__(width)
        self.strength = nn.Parameter(torch.tensor(strength))

    def prepare(self, keys: Keys) -> Prepared:
        """The keys, divided by their length."""
        return _of_length_one(keys)

    def compare(self, query: Queries, prepared: Prepared) -> Scores:
        """Cosines, times the strength."""
        return super().compare(_of_length_one(query) * self.strength, prepared)


class Additive(Score):
    """``v · tanh(W q + U k)``: a perceptron with one hidden layer, for vectors of any two widths."""

    def __init__(self, query_width: int, key_width: int, *, width: int) -> None:
        super().__init__()
        self.prepared_width = width
        self.query = nn.Linear(query_width, width, bias=False)
        self.key = nn.Linear(key_width, width, bias=False)
        self.out = nn.Parameter(torch.randn(width) / math.sqrt(width))

    def prepare(self, keys: Keys) -> Prepared:
        """``U k``."""
        return self.key(keys)

    def compare(self, query: Queries, prepared: Prepared) -> Scores:
        """``v · tanh(W q + U k)`` of every pair."""
        return torch.tanh(self.query(query)[:, :, None] + prepared[:, None]) @ self.out


class Concat(Score):
    """``v · tanh(W [q; k])``: the additive score with both maps in one weight, the query's columns first."""

    def __init__(self, query_width: int, key_width: int, *, width: int) -> None:
        super().__init__()
        self.prepared_width = width
        self.both = nn.Linear(query_width + key_width, width, bias=False)
        self.out = nn.Parameter(torch.randn(width) / math.sqrt(width))
        self.query_width = query_width

    def prepare(self, keys: Keys) -> Prepared:
        """The key's part of ``W [q; k]``."""
        return F.linear(keys, self.both.weight[:, self.query_width :])

    def compare(self, query: Queries, prepared: Prepared) -> Scores:
        """``v · tanh(W [q; k])`` of every pair."""
        asked = F.linear(query, self.both.weight[:, : self.query_width])
        return torch.tanh(asked[:, :, None] + prepared[:, None]) @ self.out


class Location(Score):
    """``(W q)_i``: which key it is decides, not what it holds.

    Keys after the first `n_positions` have no score and are never attended to, as published (section 3.1).
    """

    prepared_width = 0

    def __init__(self, query_width: int, *, n_positions: int) -> None:
        super().__init__()
        self.places = nn.Linear(query_width, n_positions, bias=False)

    def prepare(self, keys: Keys) -> Prepared:
        """Nothing of what the keys hold; how many there are remains."""
        return keys[..., :0]

    def compare(self, query: Queries, prepared: Prepared) -> Scores:
        """One number for every place; minus infinity behind the last one known."""
        count = prepared.shape[1]
        known = F.linear(query, self.places.weight[:count])
        return F.pad(known, (0, count - known.shape[-1]), value=-math.inf)


def make_score(name: ScoreName, *, width: int, n_positions: int) -> Score:
    """A score by its name, for queries and keys of one width, with a hidden layer as wide where it has one.

    Args:
        name: which.
        width: of queries and keys.
        n_positions: how many keys `Location` tells apart.
    """
    makers = {
        "additive": lambda: Additive(width, width, width=width),
        "concat": lambda: Concat(width, width, width=width),
        "cosine": lambda: Cosine(width),
        "dot": lambda: Dot(width),
        "general": lambda: General(width, width),
        "location": lambda: Location(width, n_positions=n_positions),
        "scaled-dot": lambda: ScaledDot(width),
    }
    return makers[name]()


class Attended(NamedTuple):
    """What queries read, and how they shared their attention out."""

    out: Float[Tensor, "b t v"]
    weights: Float[Tensor, "b t s"]


def attend(
    scores: Scores, values: Float[Tensor, "b s v"], *, visible: Bool[Tensor, "b #t s"] | None = None
) -> Attended:
    """The mean of the values, weighted by the softmax of the scores, and the weights.

    Args:
        scores: of every query with every key.
        values: one a key, all of them finite.
        visible: which keys each query may attend to; others have a weight of exactly 0, and so has every key of a query
            that may attend to none. ``None`` for all.
    """
    weights = scores.softmax(dim=-1) if visible is None else masked_softmax(scores, visible)
    return Attended(out=weights.to(values.dtype) @ values, weights=weights)


def masked_softmax(scores: Scores, visible: Bool[Tensor, "b #t s"]) -> Float[Tensor, "b t s"]:
    """Softmax over the visible keys; 0 elsewhere, and everywhere if none is visible. Gradients are finite too."""
    seen = scores.masked_fill(~visible, -math.inf)
    empty = ~visible.any(dim=-1, keepdim=True)
    return seen.masked_fill(empty, 0.0).softmax(dim=-1).masked_fill(~visible, 0.0)


def _of_length_one(x: Float[Tensor, "b n e"]) -> Float[Tensor, "b n e"]:
    return x * (x * x).sum(dim=-1, keepdim=True).add(EPSILON).rsqrt()
