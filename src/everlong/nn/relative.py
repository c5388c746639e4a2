"""Transformer-XL's relative attention: content and distance scored together, forward and backward by hand.

    A_tk = ( (q_t + u) . k_k  +  (q_t + w) . r_{t-k} ) / sqrt(e)        (Dai et al., 2019, eqs. 5 and 6; w is their v)

The second term is a product with the table of distances, whose row `t` must be moved by `t` places to meet its keys.
Library code moves it with copies, keeps scores, shifted scores and weights of a whole layer for the backward pass, and
scores pairs that no one may see. Here a block of queries of one lane is scored at a time, in pieces that stay in the
cache; the move is a view with another stride; and the columns of that view that stand for the future hold minus
infinity, so that the causal mask costs nothing.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from everlong.nn.attention import scale
from everlong.nn.window import Block, Sight


def attend_relative(
    query: Float[Tensor, "b t h e"],
    key: Float[Tensor, "b s h e"],
    value: Float[Tensor, "b s h e"],
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
        key: the line from ``sight.oldest`` on: remembered keys, then the chunk's.
        value: as `key`.
        distance: projected encodings of the distances ``r - 1`` down to 0, at least as many as the line is long.
        content_bias: `u`, added to queries before they meet keys.
        distance_bias: `w`, added to queries before they meet distances.
        sight: who sees what.
        dropout: share of attention weights dropped.
    """
    out, _ = _attend(query, key, value, distance, (content_bias, distance_bias), sight, dropout, counts=False)
    return out


def attend_relative_counting(
    query: Float[Tensor, "b t h e"],
    key: Float[Tensor, "b s h e"],
    value: Float[Tensor, "b s h e"],
    distance: Float[Tensor, "r h e"],
    *,
    content_bias: Float[Tensor, "h e"],
    distance_bias: Float[Tensor, "h e"],
    sight: Sight,
    dropout: float = 0.0,
) -> tuple[Float[Tensor, "b t h e"], Float[Tensor, "b s"]]:
    """As `attend_relative`, and the weight that each key received, over all heads and queries and before dropout."""
    return _attend(query, key, value, distance, (content_bias, distance_bias), sight, dropout, counts=True)


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    distance: Tensor,
    biases: tuple[Tensor, Tensor],
    sight: Sight,
    dropout: float,
    *,
    counts: bool,
) -> tuple[Tensor, Tensor]:
    factor = scale(query.shape[-1])
    # Under autocast projections are bfloat16 and biases are not: the products below want one type.
    to_keys, to_distances = (((query + bias) * factor).to(query.dtype) for bias in biases)
    # Within a Function torch always reports that gradients are off, so whether to keep the weights is asked here.
    keep = torch.is_grad_enabled()
    return _Relative.apply(to_keys, to_distances, key, value, distance, sight, dropout, keep, counts)  # pyright: ignore[reportReturnType]


def attend_relative_few(
    query: Float[Tensor, "b t h e"],
    key: Float[Tensor, "b s h e"],
    value: Float[Tensor, "b s h e"],
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
    bias = _distance_scores(query + distance_bias, encoding, projection, sight)
    out = F.scaled_dot_product_attention(
        (query + content_bias).transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), attn_mask=bias
    )
    return out.transpose(1, 2)


def attend_relative_few_counting(
    query: Float[Tensor, "b t h e"],
    key: Float[Tensor, "b s h e"],
    value: Float[Tensor, "b s h e"],
    encoding: Float[Tensor, "s d"],
    projection: Float[Tensor, "d d"],
    *,
    content_bias: Float[Tensor, "h e"],
    distance_bias: Float[Tensor, "h e"],
    sight: Sight,
) -> tuple[Float[Tensor, "b t h e"], Float[Tensor, "b s"]]:
    """As `attend_relative_few`, and the weight that each key received, over all heads and queries."""
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
    """One ``[n, t, s + t - 1]`` buffer a shape, whose last ``t - 1`` columns are `fill` and are never written again."""

    def __init__(self, like: Tensor, *, fill: float) -> None:
        self.like, self.fill = like, fill
        self.made: dict[tuple[int, int, int], Tensor] = {}

    def get(self, rows: int, queries: int, keys: int) -> Tensor:
        shape = (rows, queries, keys)
        if shape not in self.made:
            self.made[shape] = self.like.new_full((rows, queries, keys + queries - 1), self.fill)
        return self.made[shape]


class _Relative(torch.autograd.Function):
    """Scores, softmax and weighted sum, one group of lanes and one block of queries at a time."""

    @staticmethod
    def forward(
        ctx: Any,
        to_keys: Tensor,
        to_distances: Tensor,
        key: Tensor,
        value: Tensor,
        distance: Tensor,
        sight: Sight,
        dropout: float,
        training: bool,
        counts: bool,
    ) -> tuple[Tensor, Tensor]:
        out = torch.empty_like(to_keys)
        received = key.new_zeros(key.shape[:2] if counts else (0, 0))
        kept: list[Tensor] = []
        buffers = _Buffers(to_keys, fill=-torch.inf)
        for lanes in _lane_groups(to_keys):
            for block in sight.blocks:
                weights = _weights(to_keys, to_distances, key, distance, lanes, block, buffers)
                if training:
                    kept.append(weights)
                if counts:
                    by_lane = weights.unflatten(0, (-1, to_keys.shape[2]))
                    received[lanes, block.keys] += by_lane.sum(dim=(1, 2))
                if dropout > 0:
                    keep = torch.empty_like(weights).bernoulli_(1 - dropout).div_(1 - dropout)
                    weights = weights * keep
                    if training:
                        kept.append(keep)
                part = torch.bmm(weights, _rows(value, lanes, block.keys))
                out[lanes, block.queries] = _lanes(part, to_keys.shape[2])
        ctx.sight, ctx.dropout = sight, dropout
        ctx.save_for_backward(to_keys, to_distances, key, value, distance, out, *kept)
        ctx.mark_non_differentiable(received)
        return out, received

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        to_keys, to_distances, key, value, distance, out, *kept = ctx.saved_tensors
        grad = grads[0]
        heads = to_keys.shape[2]
        d_to_keys, d_to_distances = torch.empty_like(to_keys), torch.empty_like(to_distances)
        d_key, d_value = (
            torch.zeros_like(x.transpose(1, 2), memory_format=torch.contiguous_format) for x in (key, value)
        )
        table = distance.transpose(0, 1)
        d_table = torch.zeros_like(table)
        buffers = _Buffers(to_keys, fill=0.0)
        saved = iter(kept)
        for lanes in _lane_groups(to_keys):
            for block in ctx.sight.blocks:
                weights = next(saved)
                keep = next(saved) if ctx.dropout > 0 else None
                g, o = _rows(grad, lanes, block.queries), _rows(out, lanes, block.queries)
                q, p = _rows(to_keys, lanes, block.queries), _rows(to_distances, lanes, block.queries)
                k, v = _rows(key, lanes, block.keys), _rows(value, lanes, block.keys)
                rows, queries, keys = weights.shape
                _add_rows(d_value, lanes, block.keys, (weights if keep is None else weights * keep).transpose(1, 2), g)
                d_scores = torch.bmm(g, v.transpose(1, 2))
                if keep is not None:
                    d_scores.mul_(keep)
                d_scores.sub_((g * o).sum(dim=-1, keepdim=True)).mul_(weights)
                _add_rows(d_key, lanes, block.keys, d_scores.transpose(1, 2), q)
                d_to_keys[lanes, block.queries] = _lanes(torch.bmm(d_scores, k), heads)
                buffer = buffers.get(rows, queries, keys)
                _by_key(buffer, queries=queries).copy_(d_scores)
                by_distance = buffer[..., :keys]
                r = _spread(table[:, -keys:], rows)
                d_to_distances[lanes, block.queries] = _lanes(torch.bmm(by_distance, r), heads)
                d_table[:, -keys:] += _gather(torch.bmm(by_distance.transpose(1, 2), p), heads)
        d_key, d_value, d_distance = d_key.transpose(1, 2), d_value.transpose(1, 2), d_table.transpose(0, 1)
        return d_to_keys, d_to_distances, d_key, d_value, d_distance, None, None, None, None


def _weights(
    to_keys: Tensor, to_distances: Tensor, key: Tensor, distance: Tensor, lanes: slice, block: Block, buffers: _Buffers
) -> Tensor:
    q, p = _rows(to_keys, lanes, block.queries), _rows(to_distances, lanes, block.queries)
    k = _rows(key, lanes, block.keys)
    rows, queries, keys = q.shape[0], q.shape[1], k.shape[1]
    buffer = buffers.get(rows, queries, keys)
    table = _spread(distance.transpose(0, 1)[:, -keys:], rows)
    torch.bmm(p, table.transpose(1, 2), out=buffer[..., :keys])
    scores = torch.baddbmm(_by_key(buffer, queries=queries), q, k.transpose(1, 2))
    if block.visible is not None:
        hidden = ~block.visible[lanes].repeat_interleave(to_keys.shape[2], dim=0)
        scores.masked_fill_(hidden, -torch.inf)
    return torch.softmax(scores, dim=-1, dtype=torch.float32 if scores.dtype.itemsize < 4 else None).to(scores.dtype)


def _lane_groups(x: Tensor) -> list[slice]:
    """One lane at a time on a CPU, where small pieces stay in the cache; all at once elsewhere."""
    size = 1 if x.device.type == "cpu" else x.shape[0]
    return [slice(at, at + size) for at in range(0, x.shape[0], size)]


def _rows(x: Float[Tensor, "b s h e"], lanes: slice, span: slice) -> Float[Tensor, "n u e"]:
    """The heads of some lanes as the batch of a matrix product; a view when it is one lane."""
    return x[lanes, span].transpose(1, 2).flatten(0, 1)


def _lanes(x: Float[Tensor, "n s e"], heads: int) -> Float[Tensor, "b s h e"]:
    return x.unflatten(0, (-1, heads)).transpose(1, 2)


def _add_rows(total: Tensor, lanes: slice, span: slice, left: Tensor, right: Tensor) -> None:
    target = total[lanes, :, span]
    if target.shape[0] == 1:
        target[0].baddbmm_(left, right)
    else:
        target += torch.bmm(left, right).view_as(target)


def _spread(table: Float[Tensor, "h r e"], rows: int) -> Float[Tensor, "n r e"]:
    return table if rows == table.shape[0] else table.repeat(rows // table.shape[0], 1, 1)


def _gather(x: Float[Tensor, "n r e"], heads: int) -> Float[Tensor, "h r e"]:
    return x if x.shape[0] == heads else x.unflatten(0, (-1, heads)).sum(dim=0)
