"""Transformer-XL's relative attention: content and distance scored together, forward and backward by hand.

    A_tk = ( (q_t + u) . k_k  +  (q_t + w) . r_{t-k} ) / sqrt(e)        (Dai et al., 2019, eqs. 5 and 6; w is their v)

The second term is a product with the table of distances, whose row `t` must be moved by `t` places to meet its keys.
Library code moves it with copies, keeps scores, shifted scores and weights of a whole layer for the backward pass, and
scores pairs that no one may see. Here a block of queries of one lane is scored at a time, in pieces that stay in the
cache; the move is a view with another stride; and the columns of that view that stand for the future hold minus
infinity, so that the causal mask costs nothing.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from everlong.nn.attention import scale
from everlong.nn.window import Block, Sight

_softmax_backward = torch.ops.aten._softmax_backward_data.out


def attend_relative(
    query: Float[Tensor, "b t h e"],
    entries: Float[Tensor, "b s 2 h e"],
    distance: Float[Tensor, "r h e"],
    *,
    content_bias: Float[Tensor, "h e"],
    distance_bias: Float[Tensor, "h e"],
    sight: Sight,
    dropout: float = 0.0,
) -> Float[Tensor, "b t h e"]:
    """Relative attention of a chunk over ring and chunk.

    Args:
        query: one per token of the chunk.
        entries: keys, then values, of the line from ``sight.oldest`` on: remembered tokens, then the chunk's.
        distance: projected encodings of the distances ``r - 1`` down to 0, at least as many as the line is long.
        content_bias: `u`, added to queries before they meet keys.
        distance_bias: `w`, added to queries before they meet distances.
        sight: who sees what.
        dropout: share of attention weights dropped.
    """
    out, _ = _attend(query, entries, distance, (content_bias, distance_bias), sight, dropout, counts=False)
    return out


def attend_relative_counting(
    query: Float[Tensor, "b t h e"],
    entries: Float[Tensor, "b s 2 h e"],
    distance: Float[Tensor, "r h e"],
    *,
    content_bias: Float[Tensor, "h e"],
    distance_bias: Float[Tensor, "h e"],
    sight: Sight,
    dropout: float = 0.0,
) -> tuple[Float[Tensor, "b t h e"], Float[Tensor, "b s"]]:
    """As `attend_relative`, and the weight that each key received, over all heads and queries and before dropout."""
    return _attend(query, entries, distance, (content_bias, distance_bias), sight, dropout, counts=True)


def _attend(
    query: Tensor,
    entries: Tensor,
    distance: Tensor,
    biases: tuple[Tensor, Tensor],
    sight: Sight,
    dropout: float,
    *,
    counts: bool,
) -> tuple[Tensor, Tensor]:
    factor = scale(query.shape[-1])
    # Under autocast projections are bfloat16 and biases are not: the products below want one type.
    asked = (torch.add(bias * factor, query, alpha=factor).to(query.dtype) for bias in biases)
    # Within a Function torch always reports that gradients are off, so whether to keep the weights is asked here.
    keep = torch.is_grad_enabled()
    return _Relative.apply(*asked, entries, distance, sight, dropout, keep, counts)  # pyright: ignore[reportReturnType]


def attend_relative_few(
    query: Float[Tensor, "b t h e"],
    entries: Float[Tensor, "b s 2 h e"],
    encoding: Float[Tensor, "s d"],
    projection: Float[Tensor, "d d"],
    *,
    content_bias: Float[Tensor, "h e"],
    distance_bias: Float[Tensor, "h e"],
    sight: Sight,
) -> Float[Tensor, "b t h e"]:
    """Relative attention of a few tokens, which need not pay for projecting every distance.

    ``(q + w) . (W r)`` is ``(W^T (q + w)) . r``: moving the projection to the query side costs ``d^2`` per token
    instead of ``d^2`` per distance. That is what makes a decoded token cost O(window d + d^2).

    Args:
        encoding: sinusoids of the distances ``s - 1`` down to 0, not projected.
        projection: `W`, ``[h * e, d]``.
    """
    key, value = entries.unbind(2)
    bias = _distance_scores(query + distance_bias, encoding, projection, sight)
    out = F.scaled_dot_product_attention(
        (query + content_bias).transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), attn_mask=bias
    )
    return out.transpose(1, 2)


def attend_relative_few_counting(
    query: Float[Tensor, "b t h e"],
    entries: Float[Tensor, "b s 2 h e"],
    encoding: Float[Tensor, "s d"],
    projection: Float[Tensor, "d d"],
    *,
    content_bias: Float[Tensor, "h e"],
    distance_bias: Float[Tensor, "h e"],
    sight: Sight,
) -> tuple[Float[Tensor, "b t h e"], Float[Tensor, "b s"]]:
    """As `attend_relative_few`, and the weight that each key received, over all heads and queries."""
    key, value = entries.unbind(2)
    bias = _distance_scores(query + distance_bias, encoding, projection, sight)
    content = torch.einsum("bthe,bshe->bhts", (query + content_bias).to(key.dtype), key)
    weights = (content * scale(query.shape[-1]) + bias).softmax(dim=-1)
    out = torch.einsum("bhts,bshe->bthe", weights.to(value.dtype), value)
    return out, weights.detach().sum(dim=(1, 2))


def _distance_scores(
    query: Float[Tensor, "b t h e"], encoding: Float[Tensor, "s d"], projection: Float[Tensor, "d d"], sight: Sight
) -> Float[Tensor, "b h t s"]:
    """Products of a few queries with distances, scaled and by key; minus infinity where a key is not seen."""
    heads, width = query.shape[2:]
    (block,) = sight.blocks
    carried = torch.bmm(query.flatten(0, 1).transpose(0, 1), projection.view(heads, width, -1))
    scores = (carried @ encoding.T).unflatten(1, query.shape[:2]).transpose(0, 1)
    bias = _shifted(scores, block) * scale(width)
    return bias if block.visible is None else bias.masked_fill(~block.visible[:, None], -torch.inf)


def _shifted(scores: Float[Tensor, "b h t s"], block: Block) -> Float[Tensor, "b h t s"]:
    """Scores by distance (descending), moved so that column `k` is the key `k`; the future is minus infinity."""
    queries = block.queries.stop - block.queries.start
    if queries == 1:
        return scores
    padded = F.pad(scores, (0, queries - 1), value=-torch.inf).contiguous()
    return _by_key(padded, queries=queries)


def _by_key(by_distance: Tensor, *, queries: int) -> Tensor:
    """A view of a buffer by distance, ``[..., t, s + t - 1]``, as ``[..., t, s]`` by key: rows begin one earlier."""
    keys = by_distance.shape[-1] - queries + 1
    *lead, row, one = by_distance.stride()
    return by_distance.as_strided(
        (*by_distance.shape[:-1], keys), (*lead, row - one, one), by_distance.storage_offset() + (queries - 1) * one
    )


class _Buffers:
    """What a block of a shape is computed in, made once: memory that was just used is still in the cache."""

    def __init__(self, like: Tensor, *, fill: float) -> None:
        self.like, self.fill = like, fill
        self.made: dict[tuple[int, int, int], tuple[Tensor, Tensor]] = {}

    def get(self, rows: int, queries: int, keys: int) -> tuple[Float[Tensor, "n t s"], Float[Tensor, "n t x"]]:
        """One for scores by key; one by distance, whose last ``t - 1`` columns are `fill` and are never written."""
        shape = (rows, queries, keys)
        if shape not in self.made:
            by_key = self.like.new_empty(shape)
            self.made[shape] = by_key, self.like.new_full((rows, queries, keys + queries - 1), self.fill)
        return self.made[shape]


class _Relative(torch.autograd.Function):
    """Scores, softmax and weighted sum, one group of lanes and one block of queries at a time."""

    @staticmethod
    def forward(
        ctx: Any,
        to_keys: Tensor,
        to_distances: Tensor,
        entries: Tensor,
        distance: Tensor,
        sight: Sight,
        dropout: float,
        training: bool,
        counts: bool,
    ) -> tuple[Tensor, Tensor]:
        heads = to_keys.shape[2]
        out = _new_by_head(to_keys, to_keys.shape)
        received = entries.new_zeros(entries.shape[:2] if counts else (0, 0))
        kept: list[Tensor] = []
        table = _for_all(distance, to_keys)
        buffers = _Buffers(to_keys, fill=-torch.inf)
        for lanes, q, p, k, v, o in _by_group(to_keys, to_distances, *entries.unbind(2), out):
            for block in sight.blocks:
                here, there = block.queries, block.keys
                weights = _weights(q[:, here], p[:, here], k[:, there], table, lanes, block, buffers)
                if training:
                    kept.append(weights)
                if counts:
                    received[lanes, there] += weights.unflatten(0, (-1, heads)).sum(dim=(1, 2))
                if dropout > 0:
                    keep = torch.empty_like(weights).bernoulli_(1 - dropout).div_(1 - dropout)
                    weights = weights * keep
                    if training:
                        kept.append(keep)
                o[:, here] = torch.bmm(weights, v[:, there])
        ctx.sight, ctx.dropout = sight, dropout
        ctx.save_for_backward(to_keys, to_distances, entries, distance, *kept)
        ctx.mark_non_differentiable(received)
        return out, received

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        to_keys, to_distances, entries, distance, *kept = ctx.saved_tensors
        d_to_keys, d_to_distances, d_entries = (
            _new_by_head(to_keys, x.shape) for x in (to_keys, to_distances, entries)
        )
        table = _for_all(distance, to_keys)
        d_table = torch.zeros_like(table)
        buffers = _Buffers(to_keys, fill=0.0)
        saved = iter(kept)
        lines = (to_keys, to_distances, *entries.unbind(2), grads[0], d_to_keys, d_to_distances, *d_entries.unbind(2))
        for _, q, p, k, v, g, d_q, d_p, d_key, d_value in _by_group(*lines):
            # Heads first and dense while they are added up.
            d_k, d_v = (torch.zeros_like(x, memory_format=torch.contiguous_format) for x in (k, v))
            for block in ctx.sight.blocks:
                weights = next(saved)
                keep = next(saved) if ctx.dropout > 0 else None
                here, there = block.queries, block.keys
                rows, queries, keys = weights.shape
                d_scores, buffer = buffers.get(rows, queries, keys)
                d_v[:, there].baddbmm_((weights if keep is None else weights * keep).transpose(1, 2), g[:, here])
                torch.bmm(g[:, here], v[:, there].transpose(1, 2), out=d_scores)
                if keep is not None:
                    d_scores.mul_(keep)
                _softmax_backward(d_scores, weights, -1, weights.dtype, grad_input=d_scores)
                d_k[:, there].baddbmm_(d_scores.transpose(1, 2), q[:, here])
                d_q[:, here] = torch.bmm(d_scores, k[:, there])
                _by_key(buffer, queries=queries).copy_(d_scores)
                by_distance = buffer[..., :keys]
                d_p[:, here] = torch.bmm(by_distance, table[:, -keys:])
                d_table[:, -keys:].baddbmm_(by_distance.transpose(1, 2), p[:, here])
            d_key[:], d_value[:] = d_k, d_v
        d_distance = d_table.unflatten(0, (-1, to_keys.shape[2])).sum(dim=0).transpose(0, 1)
        return d_to_keys, d_to_distances, d_entries, d_distance, None, None, None, None


def _weights(
    to_keys: Float[Tensor, "n t e"],
    to_distances: Float[Tensor, "n t e"],
    key: Float[Tensor, "n s e"],
    table: Float[Tensor, "n r e"],
    lanes: slice,
    block: Block,
    buffers: _Buffers,
) -> Float[Tensor, "n t s"]:
    rows, queries, keys = *to_keys.shape[:2], key.shape[1]
    scores, by_distance = buffers.get(rows, queries, keys)
    torch.bmm(to_distances, table[:, -keys:].transpose(1, 2), out=by_distance[..., :keys])
    torch.baddbmm(_by_key(by_distance, queries=queries), to_keys, key.transpose(1, 2), out=scores)
    if block.visible is not None:
        visible = block.visible[lanes]
        scores.masked_fill_(~visible.repeat_interleave(rows // len(visible), dim=0), -torch.inf)
    return torch.softmax(scores, dim=-1, dtype=torch.float32 if scores.dtype.itemsize < 4 else None).to(scores.dtype)


def _by_group(*lines: Float[Tensor, "b _ h e"]) -> Iterator[tuple[Any, ...]]:
    """Lanes that are computed together, and their heads ``[n s e]`` as the batch of matrix products, of every line.

    One lane at a time on a CPU, where small pieces stay in the cache, and views serve; all at once elsewhere.
    """
    heads_first = [line.transpose(1, 2) for line in lines]
    if lines[0].device.type != "cpu":
        yield slice(None), *(line.flatten(0, 1) for line in heads_first)
        return
    for lane, group in enumerate(zip(*(line.unbind(0) for line in heads_first), strict=True)):
        yield slice(lane, lane + 1), *group


def _new_by_head(like: Tensor, shape: torch.Size) -> Tensor:
    """An empty tensor ``[b s ... h e]`` whose groups are views."""
    if like.device.type == "cpu":
        return like.new_empty(shape)
    lanes, time, *several, heads, width = shape
    return like.new_empty(*several, lanes, heads, time, width).movedim((-4, -2), (0, 1))


def _for_all(distance: Float[Tensor, "r h e"], query: Float[Tensor, "b t h e"]) -> Float[Tensor, "n r e"]:
    """Distances by head, for all lanes that are computed together."""
    return next(_by_group(distance.expand(len(query), *distance.shape)))[1]
