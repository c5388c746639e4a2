"""Softmax attention between tokens that were gathered into tiles, forward and backward by hand.

A tile is some queries and some keys. A token may be a query of several tiles; they share one softmax, in which each has
the weight that the logarithm of its denominator gives it:

    l_i = log sum_k exp(s_ik)        o = sum_i softmax_i(l_i) o_i        weight of a key = exp(s - log sum_i exp(l_i))

Gathering, scoring and summing a whole layer at once would send each of these through the main memory. Here one head of
one lane is worked on at a time, in pieces that stay in the cache, and the backward pass gathers and weighs again.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

PIECE = 2**17
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
    key_places: Int[Tensor, "p s c"]
    """Where each is a key."""

    @abstractmethod
    def biases(self, like: Tensor) -> Bias:
        """Minus infinity for what a query does not see, and 0 for the rest."""


def places(tokens: Int[Tensor, "p r n k"], *, count: int, stretch: int) -> Int[Tensor, "p s c"]:
    """Where each of `count` tokens is in the tiles ``[n k]`` of every round; -1 for nowhere.

    No token is twice in the same stretch of all tiles of a round, `stretch` places wide: in each it has one place.
    """
    _, rounds, tiles, width = tokens.shape
    number = torch.arange(rounds * tiles * width, device=tokens.device).view(rounds, tiles, width)
    found: list[Tensor] = []
    for at in range(0, width, stretch):
        part = tokens[..., at : at + stretch].flatten(2)
        place = tokens.new_full((*part.shape[:2], count + 1), -1)
        found.append(place.scatter_(-1, part, number[..., at : at + stretch].flatten(1).expand_as(part))[..., :-1])
    return torch.cat(found, dim=1).transpose(1, 2).contiguous()


def attend_tiles(
    query: Float[Tensor, "b t h e"],
    key: Float[Tensor, "b s h e"],
    value: Float[Tensor, "b s h e"],
    *,
    own: Float[Tensor, "b t h e"],
    tiles: Tiles,
) -> Float[Tensor, "b t h e"]:
    """Attention ``sum_k softmax_k(q . k) v_k``, k over what a token sees in all its tiles.

    Args:
        query: one per token.
        key: what the tiles' keys are taken from.
        value: as `key`.
        own: for tokens that see nothing.
        tiles: who sees what.
    """
    out, total = _Attend.apply(query, key, value, tiles)  # pyright: ignore[reportGeneralTypeIssues]
    return torch.where(total.isneginf()[..., None], own, out)


class _Attend(torch.autograd.Function):
    """Piece by piece. Tokens and indices are kept; what was gathered, and the weights, are made again."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, tiles: Tiles) -> tuple[Tensor, Tensor]:
        kind = torch.promote_types(query.dtype, torch.float32)
        queries, pairs = _by_head(query, kind=kind), _by_head(key, value, kind=kind)
        out = queries.new_empty(queries.shape[0], *query.shape[1::2])
        total = queries.new_empty(out.shape[:2])
        pick_query, pick_pair, bias = _Picker(queries), _Picker(pairs), tiles.biases(queries)
        with torch.autocast(query.device.type, enabled=False):
            for group in _groups(tiles):
                rows = _room(group.queries, width=query.shape[-1], like=queries)
                totals = _room(group.queries, width=1, like=queries).fill_(-math.inf)
                for span in group.pieces():
                    q = pick_query(group.heads, group.queries[span])
                    k, v = pick_pair(group.heads, group.keys[span]).chunk(2, dim=-1)
                    part, log_total = _read(q, k, v, bias(group.heads, span))
                    _put(rows, part, span)
                    _put(totals, log_total, span)
                found = totals[group.query_places, 0]
                shares = torch.softmax(found, dim=1).nan_to_num(nan=0.0)
                seen = F.embedding_bag(group.query_places, rows, mode="sum", per_sample_weights=shares)
                out[group.heads] = seen.view_as(out[group.heads])
                total[group.heads] = found.logsumexp(dim=1).view_as(total[group.heads])
        indices = {name: field for name, field in vars(tiles).items() if isinstance(field, Tensor)}
        ctx.names, ctx.kind, ctx.lanes = tuple(indices), type(tiles), len(query)
        ctx.fixed = {name: field for name, field in vars(tiles).items() if name not in indices}
        out, total = (x.unflatten(0, (len(query), -1)).transpose(1, 2) for x in (out.to(query.dtype), total))
        ctx.save_for_backward(queries, pairs, out, total, *indices.values())
        ctx.mark_non_differentiable(total)
        return out, total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        queries, pairs, out, total, *indices = ctx.saved_tensors
        tiles: Tiles = ctx.kind(**ctx.fixed, **dict(zip(ctx.names, indices, strict=True)))
        # A weight's gradient is its value's product with g, less the mean of all of them: sum_k w_k (g . v_k) = g . o.
        mean = (grads[0] * out).sum(dim=-1, keepdim=True)
        log_total = total.masked_fill(total.isneginf(), 0.0)[..., None]
        given = _by_head(grads[0], mean, log_total, kind=total.dtype)
        d_queries, d_pairs = (x.new_empty(x.shape[0], x.shape[1] - 1, x.shape[2]) for x in (queries, pairs))
        pick_query, pick_pair, pick_given, bias = *map(_Picker, (queries, pairs, given)), tiles.biases(queries)
        for group in _groups(tiles):
            q_rows = _room(group.queries, width=queries.shape[-1], like=queries)
            p_rows = _room(group.keys, width=pairs.shape[-1], like=pairs)
            for span in group.pieces():
                q = pick_query(group.heads, group.queries[span])
                k, v = pick_pair(group.heads, group.keys[span]).chunk(2, dim=-1)
                g = pick_given(group.heads, group.queries[span]).split([v.shape[-1], 1, 1], dim=-1)
                d_q, *d_pair = _read_back(q, k, v, bias(group.heads, span), *g)
                _put(q_rows, d_q, span)
                for columns, part in zip(p_rows.chunk(2, dim=-1), d_pair, strict=True):
                    _put(columns, part, span)
            for d, where, rows in (
                (d_queries, group.query_places, q_rows),
                (d_pairs, group.key_places, p_rows),
            ):
                d[group.heads] = F.embedding_bag(where, rows, mode="sum").view_as(d[group.heads])
        d_query, d_pair = (d.unflatten(0, (ctx.lanes, -1)).transpose(1, 2).to(out.dtype) for d in (d_queries, d_pairs))
        return d_query, *d_pair.chunk(2, dim=-1), None


@dataclass(frozen=True, kw_only=True)
class _Group:
    """Heads whose tiles are worked on as one list: those of a piece, or one head of several pieces."""

    heads: slice
    queries: Int[Tensor, "n q"]
    keys: Int[Tensor, "n k"]
    query_places: Int[Tensor, "t r"]
    key_places: Int[Tensor, "s c"]
    """All counted through the heads of the group; nowhere is the last of all places."""

    def pieces(self) -> Iterator[slice]:
        """Tiles to work on together."""
        size = max(1, _piece(self.queries) // (self.queries.shape[1] * self.keys.shape[1]))
        return (slice(at, min(at + size, len(self.queries))) for at in range(0, len(self.queries), size))


def _groups(tiles: Tiles) -> Iterator[_Group]:
    """All heads, some at a time."""
    heads, count, rows = tiles.queries.shape
    size = max(1, _piece(tiles.queries) // (count * rows * tiles.keys.shape[2]))
    for at in range(0, heads, size):
        group = slice(at, min(at + size, heads))
        yield _Group(
            heads=group,
            queries=_through(tiles.queries[group], each=tiles.query_places.shape[1] + 1),
            keys=_through(tiles.keys[group], each=tiles.key_places.shape[1] + 1),
            query_places=_through(tiles.query_places[group], each=tiles.queries[0].numel()),
            key_places=_through(tiles.key_places[group], each=tiles.keys[0].numel()),
        )


@final
class _Picker:
    """Gathers rows ``[p s e]`` into the same room for every piece: new room would be paged in anew."""

    def __init__(self, rows: Float[Tensor, "p s e"]) -> None:
        self._rows, self._room = rows, rows.new_empty(0, rows.shape[-1])

    def __call__(self, heads: slice, index: Int[Tensor, "n k"]) -> Float[Tensor, "n k e"]:
        if len(self._room) < index.numel():
            self._room = self._rows.new_empty(index.numel(), self._rows.shape[-1])
        room = self._room[: index.numel()]
        return torch.index_select(self._rows[heads].flatten(0, 1), 0, index.flatten(), out=room).unflatten(
            0, index.shape
        )


def _piece(tokens: Tensor) -> int:
    return PIECE if tokens.device.type == "cpu" else MANY


def _through(index: Int[Tensor, "p n k"], *, each: int) -> Int[Tensor, "m k"]:
    """Indices within heads of so many things `each`, counted through all heads; -1 becomes the number of all."""
    first = torch.arange(0, len(index) * each, each, device=index.device)[:, None, None]
    return (index + first).where(index >= 0, len(index) * each).flatten(0, 1)


def _read(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs and log-denominators of a piece."""
    scores = _scores(q, k, bias)
    peak = scores.amax(dim=-1, keepdim=True).clamp_(min=LOWEST)
    weights = scores.sub_(peak).exp2_()
    total = weights.sum(dim=-1, keepdim=True)
    return torch.bmm(weights, v).div_(total.clamp(min=1.0)), (peak + total.log2()) * math.log(2)


def _read_back(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, g: Tensor, mean: Tensor, log_total: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the queries, keys and values of a piece."""
    weights = _scores(q, k, bias).sub_(log_total * math.log2(math.e)).exp2_()
    d_scores = torch.bmm(g, v.transpose(1, 2)).sub_(mean).mul_(weights)
    d_key, d_value = (torch.bmm(x.transpose(1, 2), y) for x, y in ((d_scores, q), (weights, g)))
    return torch.bmm(d_scores, k), d_key, d_value


def _scores(q: Tensor, k: Tensor, bias: Tensor) -> Tensor:
    """Scores to the base of two, in the place of `bias`.

    Where next to nothing is left of a weight, the processor takes a hundred times longer for `exp` than for `exp2`.
    """
    return bias.baddbmm_(q, k.transpose(1, 2), alpha=math.log2(math.e))


def _by_head(*parts: Tensor, kind: torch.dtype) -> Tensor:
    """Tokens ``[b t h e]`` side by side as rows of every head ``[p t+1 e]``; the last, of zeros, stands for none."""
    lanes, time, heads, _ = parts[0].shape
    rows = parts[0].new_zeros(lanes, heads, time + 1, sum(part.shape[-1] for part in parts), dtype=kind)
    torch.cat([part.transpose(1, 2) for part in parts], dim=-1, out=rows[:, :, :-1])
    return rows.flatten(0, 1)


def _room(tokens: Int[Tensor, "n k"], *, width: int, like: Tensor) -> Float[Tensor, "s e"]:
    """A row for each place in these tiles, and last one of zeros that stands for nowhere."""
    room = like.new_empty(tokens.numel() + 1, width)
    room[-1] = 0
    return room


def _put(rows: Tensor, part: Tensor, span: slice) -> None:
    """Lay the rows of some tiles ``[n k e]`` into those of all tiles."""
    width = part.shape[1]
    rows[span.start * width : span.stop * width] = part.flatten(0, 1)
