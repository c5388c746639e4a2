"""Softmax attention between tokens that were gathered into tiles, forward and backward by hand.

A tile is some queries and some keys. A token may be a query of several tiles; they share one softmax, in which each has
the weight that the logarithm of its denominator gives it:

    l_i = log sum_k exp(s_ik)        o = sum_i softmax_i(l_i) o_i        weight of a key = exp(s - log sum_i exp(l_i))

Gathering, scoring and summing a whole layer at once would send each of these through the main memory. Here one head of
one lane is worked on at a time, in pieces that stay in the cache, and the backward pass gathers and weighs again.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.autograd.function import once_differentiable

PIECE = 2**18
"""Pairs of queries and keys that are worked on together on a CPU: their scores stay in its cache."""

MANY = 2**24
"""The same for other devices, where few large steps are better."""

LOWEST = -1e30
"""Stands for the largest score of a query that sees nothing."""

Bias = Callable[[slice, slice], Tensor]
"""What is added to the scores ``[n q k]`` of some of some heads' tiles; it may be written to."""


@dataclass(frozen=True, kw_only=True)
class Tiles(ABC):
    """Which tokens meet in which tile, for the heads `p` of all lanes. Where there is none stands the number of all."""

    queries: Int[Tensor, "p n q"]
    keys: Int[Tensor, "p n k"]
    query_places: Int[Tensor, "p t r"]
    """Where each token is a query, counted through all tiles of its head; -1 for nowhere."""
    rounds: int
    """Each has as many tiles, one round's after another's."""
    length: int
    """How many tokens there are to be keys: those of the past, then those that are queries."""

    @property
    def time(self) -> int:
        """How many tokens are queries."""
        return self.query_places.shape[1]

    def key_places(self) -> Int[Tensor, "p s c"]:
        """Where each token is a key, as `query_places`."""
        keys = self.keys.unflatten(1, (self.rounds, -1))
        return places(keys, count=self.length, stretch=self.queries.shape[-1])

    @abstractmethod
    def biases(self, like: Tensor) -> Bias:
        """Minus infinity for what a query does not see, and 0 for the rest."""


def places(tokens: Int[Tensor, "p r n k"], *, count: int, stretch: int) -> Int[Tensor, "p s c"]:
    """Where each of `count` tokens is in the tiles ``[n k]`` of every round, as int32; -1 for nowhere.

    No token is twice in the same stretch of all tiles of a round, `stretch` places wide: in each it has one place.
    """
    _, rounds, tiles, width = tokens.shape
    number = torch.arange(rounds * tiles * width, dtype=torch.int32, device=tokens.device).view(rounds, tiles, width)
    found: list[Tensor] = []
    for at in range(0, width, stretch):
        part = tokens[..., at : at + stretch].flatten(2)
        place = number.new_full((*part.shape[:2], count + 1), -1)
        found.append(place.scatter_(-1, part, number[..., at : at + stretch].flatten(1).expand_as(part))[..., :-1])
    return torch.cat(found, dim=1).transpose(1, 2).contiguous()


def attend_tiles(
    query: Float[Tensor, "b t h e"],
    key: Float[Tensor, "b t h e"],
    value: Float[Tensor, "b t h e"],
    *,
    past: Float[Tensor, "b g k"],
    tiles: Tiles,
) -> Float[Tensor, "b t h e"]:
    """Attention ``sum_k softmax_k(q . k) v_k``, k over what a token sees in all its tiles.

    Args:
        query: one per token.
        key: as `query`.
        value: as `query`. A token that sees nothing has its own.
        past: keys and values of earlier tokens, side by side (k = 2he).
        tiles: who sees what.
    """
    return _Attend.apply(query, key, value, past, tiles)  # pyright: ignore[reportReturnType]


class _Attend(torch.autograd.Function):
    """Piece by piece. Tokens and indices are kept; what was gathered, and the weights, are made again."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, past: Tensor, tiles: Tiles) -> Tensor:
        kind, width = torch.promote_types(query.dtype, torch.float32), query.shape[-1]
        queries, pairs = _by_head(query, kind=kind), _by_head(key, value, past=past, kind=kind)
        out = queries.new_empty(queries.shape[0], *query.shape[1::2])
        total = queries.new_empty(out.shape[:2])
        pick_query, pick_pair, bias = _Picker(queries), _Picker(pairs), tiles.biases(queries)
        room, room_of_totals = _Room(width, like=queries), _Room(1, like=queries)
        with torch.autocast(query.device.type, enabled=False):
            for group in _groups(tiles):
                rows, totals = (x.of_tiles(group.queries) for x in (room, room_of_totals))
                totals[-1] = -math.inf
                for span in group.pieces():
                    q = pick_query(group.heads, group.queries[span])
                    k, v = pick_pair(group.heads, group.keys[span]).chunk(2, dim=-1)
                    _read(q, k, v, bias(group.heads, span), into=[_of(x, q, span) for x in (rows, totals)])
                where = _through(tiles.query_places[group.heads], each=tiles.queries[0].numel())
                found = totals[where, 0]
                shares = torch.softmax(found, dim=1).nan_to_num(nan=0.0)
                seen = F.embedding_bag(where, rows, mode="sum", per_sample_weights=shares)
                out[group.heads] = seen.view_as(out[group.heads])
                total[group.heads] = found.logsumexp(dim=1).view_as(total[group.heads])
        alone = total.isneginf()
        out[alone] = pairs[:, past.shape[1] : -1, width:][alone]
        indices = {name: field for name, field in vars(tiles).items() if isinstance(field, Tensor)}
        ctx.names, ctx.kind, ctx.lanes = tuple(indices), type(tiles), len(query)
        ctx.fixed = {name: field for name, field in vars(tiles).items() if name not in indices}
        out = _by_token(out, lanes=len(query)).to(query.dtype)
        ctx.save_for_backward(queries, pairs, out, total, *indices.values())
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        queries, pairs, out, total, *indices = ctx.saved_tensors
        tiles: Tiles = ctx.kind(**ctx.fixed, **dict(zip(ctx.names, indices, strict=True)))
        width, past = queries.shape[-1], tiles.length - tiles.time
        # A weight's gradient is its value's product with g, less the mean of all of them: sum_k w_k (g . v_k) = g . o.
        mean = (grads[0] * out).sum(dim=-1, keepdim=True)
        alone = total.isneginf()
        log_total = _by_token(total.masked_fill(alone, 0.0), lanes=ctx.lanes)[..., None]
        given = _by_head(grads[0], mean, log_total, kind=total.dtype)
        # A memory that gets no gradient is half of the work.
        first = 0 if ctx.needs_input_grad[3] else past
        key_places = tiles.key_places()[:, first:]
        d_query = queries.new_empty(len(queries), tiles.time, width)
        d_key, d_value = (pairs.new_empty(len(pairs), tiles.length - first, width) for _ in range(2))
        rooms = [_Room(width, like=queries) for _ in range(3)]
        pick_query, pick_pair, pick_given, bias = *map(_Picker, (queries, pairs, given)), tiles.biases(queries)
        for group in _groups(tiles):
            tokens = (group.queries, group.keys, group.keys)
            rows = [room.of_tiles(where) for room, where in zip(rooms, tokens, strict=True)]
            for span in group.pieces():
                q = pick_query(group.heads, group.queries[span])
                k, v = pick_pair(group.heads, group.keys[span]).chunk(2, dim=-1)
                g = pick_given(group.heads, group.queries[span]).split([width, 1, 1], dim=-1)
                into = [_of(x, like, span) for x, like in zip(rows, (q, k, v), strict=True)]
                _read_back(q, k, v, bias(group.heads, span), *g, into=into)
            of_query = _through(tiles.query_places[group.heads], each=tiles.queries[0].numel())
            of_key = _through(key_places[group.heads], each=tiles.keys[0].numel())
            for d, where, x in zip((d_query, d_key, d_value), (of_query, of_key, of_key), rows, strict=True):
                d[group.heads] = F.embedding_bag(where, x, mode="sum").view_as(d[group.heads])
        d_value[:, past - first :][alone] += given[:, :-1, :width][alone]
        d_query, d_key, d_value = (_by_token(d, lanes=ctx.lanes).to(out.dtype) for d in (d_query, d_key, d_value))
        d_past = torch.stack([d[:, :past] for d in (d_key, d_value)], dim=2).flatten(2) if first < past else None
        return d_query, d_key[:, past - first :], d_value[:, past - first :], d_past, None


@dataclass(frozen=True, kw_only=True)
class _Group:
    """Heads whose tiles are worked on as one list: those of a piece, or one head of several pieces."""

    heads: slice
    queries: Int[Tensor, "n q"]
    keys: Int[Tensor, "n k"]
    """Both counted through the heads of the group."""

    def pieces(self) -> Iterator[slice]:
        """Tiles to work on together."""
        size = max(1, piece(self.queries) // (self.queries.shape[1] * self.keys.shape[1]))
        return (slice(at, min(at + size, len(self.queries))) for at in range(0, len(self.queries), size))


def _groups(tiles: Tiles) -> Iterator[_Group]:
    """All heads, some at a time."""
    heads, count, rows = tiles.queries.shape
    size = max(1, piece(tiles.queries) // (count * rows * tiles.keys.shape[2]))
    for at in range(0, heads, size):
        group = slice(at, min(at + size, heads))
        yield _Group(
            heads=group,
            queries=_through(tiles.queries[group], each=tiles.time + 1),
            keys=_through(tiles.keys[group], each=tiles.length + 1),
        )


@final
class _Room:
    """Rows that are taken again and again: new ones would be paged in anew."""

    def __init__(self, width: int, *, like: Tensor) -> None:
        self._rows = like.new_empty(0, width)

    def __call__(self, count: int) -> Float[Tensor, "n e"]:
        """So many rows, which hold anything."""
        if len(self._rows) < count:
            self._rows = self._rows.new_empty(count, self._rows.shape[1])
        return self._rows[:count]

    def of_tiles(self, tokens: Int[Tensor, "n k"]) -> Float[Tensor, "s e"]:
        """A row for each place in these tiles, and last one of zeros that stands for nowhere."""
        rows = self(tokens.numel() + 1)
        rows[-1] = 0
        return rows


@final
class _Picker:
    """Gathers rows ``[p s e]``, those of every piece into the same room."""

    def __init__(self, rows: Float[Tensor, "p s e"]) -> None:
        self._rows, self._room = rows, _Room(rows.shape[-1], like=rows)

    def __call__(self, heads: slice, index: Int[Tensor, "n k"]) -> Float[Tensor, "n k e"]:
        room = self._room(index.numel())
        torch.index_select(self._rows[heads].flatten(0, 1), 0, index.flatten(), out=room)
        return room.unflatten(0, index.shape)


def piece(like: Tensor) -> int:
    """How many numbers to work on together on this device."""
    return PIECE if like.device.type == "cpu" else MANY


def _through(index: Int[Tensor, "p n k"], *, each: int) -> Int[Tensor, "m k"]:
    """Indices within heads of so many things `each`, counted through all heads; -1 becomes the number of all."""
    first = torch.arange(0, len(index) * each, each, dtype=index.dtype, device=index.device)[:, None, None]
    return (index + first).where(index >= 0, len(index) * each).flatten(0, 1)


def _read(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, *, into: Sequence[Tensor]) -> None:
    """Outputs and log-denominators of a piece."""
    out, log_total = into
    scores = _scores(q, k, bias)
    peak = scores.amax(dim=-1, keepdim=True).clamp_(min=LOWEST)
    weights = scores.sub_(peak).exp2_()
    total = weights.sum(dim=-1, keepdim=True)
    torch.bmm(weights, v, out=out).div_(total.clamp(min=1.0))
    torch.mul(total.log2_().add_(peak), math.log(2), out=log_total)


def _read_back(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, g: Tensor, mean: Tensor, log_total: Tensor, *, into: Sequence[Tensor]
) -> None:
    """Gradients of the queries, keys and values of a piece."""
    d_query, d_key, d_value = into
    weights = _scores(q, k, bias).sub_(log_total * math.log2(math.e)).exp2_()
    d_scores = torch.bmm(g, v.transpose(1, 2)).sub_(mean).mul_(weights)
    torch.bmm(d_scores, k, out=d_query)
    torch.bmm(d_scores.transpose(1, 2), q, out=d_key)
    torch.bmm(weights.transpose(1, 2), g, out=d_value)


def _scores(q: Tensor, k: Tensor, bias: Tensor) -> Tensor:
    """Scores to the base of two, in the place of `bias`.

    Where next to nothing is left of a weight, the processor takes a hundred times longer for `exp` than for `exp2`.
    """
    return bias.baddbmm_(q, k.transpose(1, 2), alpha=math.log2(math.e))


def _by_head(
    *parts: Float[Tensor, "b t h _"], past: Float[Tensor, "b g k"] | None = None, kind: torch.dtype
) -> Float[Tensor, "p s e"]:
    """The past, then these tokens, side by side as rows of every head; the last, of zeros, stands for none."""
    lanes, time, heads, _ = parts[0].shape
    before = 0 if past is None else past.shape[1]
    rows = parts[0].new_zeros(lanes, heads, before + time + 1, sum(part.shape[-1] for part in parts), dtype=kind)
    torch.cat([part.transpose(1, 2) for part in parts], dim=-1, out=rows[:, :, before:-1])
    if past is not None:
        rows.unflatten(-1, (2, -1))[:, :, :before] = past.unflatten(-1, (2, heads, -1)).permute(0, 3, 1, 2, 4)
    return rows.flatten(0, 1)


def _by_token(rows: Shaped[Tensor, "p t *e"], *, lanes: int) -> Shaped[Tensor, "b t h *e"]:
    """Rows of every head as those of every token."""
    return rows.unflatten(0, (lanes, -1)).transpose(1, 2)


def _of(rows: Float[Tensor, "s e"], tokens: Float[Tensor, "n k d"], span: slice) -> Float[Tensor, "n k e"]:
    """The rows of some of all tiles."""
    width = tokens.shape[1]
    return rows[span.start * width : span.stop * width].unflatten(0, (-1, width))
