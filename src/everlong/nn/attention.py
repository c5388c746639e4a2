"""Softmax attention over a line of keys, computed block by block so that time and memory follow what is visible.

    o_t = sum_k softmax_k( q_t . k_k / sqrt(e) ) v_k          k over the entries of the line that t sees

`Sight` (everlong.nn.window) says who sees what, as blocks of queries with their stretches of keys. Every block goes
through the fused kernel, which leaves the logarithm of its softmax's denominator behind: that joins blocks that share a
softmax, and lets the backward pass of each block be the kernel's own, given the joint output and denominator:

    l = log sum_i exp(l_i)        o = sum_i exp(l_i - l) o_i        weight of a key = exp(score - l), whatever its block

The keys' gradients are added up in place, where slices in autograd's hands would each become as long as the line.
`tests/reference` holds the plain quadratic twin of everything here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from everlong.nn.window import Block, Sight

_fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_fused_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def attend(
    query: Float[Tensor, "b t h e"],
    key: Float[Tensor, "b s h e"],
    value: Float[Tensor, "b s h e"],
    *,
    sight: Sight,
    dropout: float = 0.0,
) -> Float[Tensor, "b t h e"]:
    """Scaled dot-product attention (Vaswani et al., 2017, eq. 1) of a chunk over ring and chunk.

    Args:
        query: one per token of the chunk.
        key: the line from ``sight.oldest`` on: remembered keys, then the chunk's.
        value: as `key`.
        sight: who sees what.
        dropout: share of attention weights dropped.
    """
    return attend_jointly([Look(query=query, key=key, value=value, sight=sight)], dropout=dropout)


@dataclass(frozen=True, kw_only=True)
class Look:
    """What the tokens of a chunk ask of one line of keys."""

    query: Float[Tensor, "b t h e"]
    key: Float[Tensor, "b s h e"]
    value: Float[Tensor, "b s h e"]
    sight: Sight


def attend_jointly(looks: Sequence[Look], *, dropout: float = 0.0) -> Float[Tensor, "b t h e"]:
    """One softmax over all that the tokens of a chunk see in several lines, each of which they may ask otherwise.

    Every token sees something in some line, and no key twice.
    """
    if looks[0].query.device.type == "cpu" and dropout == 0.0:
        if len(looks) == len(looks[0].sight.blocks) == 1 and not torch.is_grad_enabled():
            # Nothing is joined, and nothing kept for a backward pass: this is the whole price of a decoded token.
            (block,) = looks[0].sight.blocks
            bias, _ = _Biases(looks[0].query).get(block)
            return _fused(*_heads_first(block, looks[0]), 0.0, False, attn_mask=bias)[0].transpose(1, 2)
        lines = (x for look in looks for x in (look.query, look.key, look.value))
        return _Attend.apply([look.sight for look in looks], *lines)  # pyright: ignore[reportReturnType]
    return attend_openly(looks, dropout=dropout)


def scale(width: int) -> float:
    """The factor ``1 / sqrt(e)`` of scaled dot-product attention."""
    return 1 / math.sqrt(width)


class _Attend(torch.autograd.Function):
    """The blocks one by one through the processor's fused kernel and its backward."""

    @staticmethod
    def forward(ctx: Any, sights: Sequence[Sight], *lines: Tensor) -> Tensor:
        query = lines[0]
        biases = _Biases(query)
        parts = _Parts(query, shared=len(sights) > 1 or sights[0].overlaps > 0)
        for nth, look in enumerate(_looks(sights, lines)):
            apart = 0 if nth else len(look.sight.blocks) - look.sight.overlaps
            for place, block in enumerate(look.sight.blocks):
                bias, empty = biases.get(block)
                part, log_total = _fused(*_heads_first(block, look), 0.0, False, attn_mask=bias)
                parts.add(block, part.transpose(1, 2), log_total.transpose(1, 2), empty, joins=place >= apart)
        ctx.sights = sights
        ctx.firsts = [next(n for n, known in enumerate(lines) if known is line) for line in lines]
        ctx.save_for_backward(*lines, parts.out, parts.log_total)
        return parts.out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        *lines, out, log_total = ctx.saved_tensors
        grad = grads[0] if grads[0].stride(-1) == 1 else grads[0].contiguous()
        # What several looks share has one gradient; what needs none, the shelf of a memory say, may be long.
        wants = [first == n and ctx.needs_input_grad[1 + n] for n, first in enumerate(ctx.firsts)]
        d_lines = [torch.zeros(x.shape, dtype=x.dtype) if want else None for x, want in zip(lines, wants, strict=True)]
        biases = _Biases(lines[0])
        for nth, look in enumerate(_looks(ctx.sights, lines)):
            totals = [d_lines[first] for first in ctx.firsts[3 * nth : 3 * nth + 3]]
            for block in look.sight.blocks:
                g, o, total = (block.rows(x).transpose(1, 2) for x in (grad, out, log_total))
                bias, _ = biases.get(block)
                parts = _fused_backward(g, *_heads_first(block, look), o, total, 0.0, False, attn_mask=bias)
                for cut, d_line, part in zip((block.rows, block.columns, block.columns), totals, parts, strict=True):
                    if d_line is not None:
                        cut(d_line).add_(part.transpose(1, 2))
        return None, *d_lines


def _looks(sights: Sequence[Sight], lines: Sequence[Tensor]) -> list[Look]:
    """The looks of queries, keys and values that stand one after the other."""
    triples = zip(lines[::3], lines[1::3], lines[2::3], sights, strict=True)
    return [Look(query=query, key=key, value=value, sight=sight) for query, key, value, sight in triples]


class _Parts:
    """Outputs and log-denominators of blocks, joined where blocks share queries."""

    def __init__(self, query: Tensor, *, shared: bool) -> None:
        kind = torch.promote_types(query.dtype, torch.float32)
        self.shared = shared
        self.out = torch.zeros(query.shape, dtype=query.dtype)
        self.log_total = torch.full(query.shape[:3], -math.inf, dtype=kind)

    def add(self, block: Block, part: Tensor, log_total: Tensor, empty: Tensor | None, *, joins: bool) -> None:
        """Enter a block; it `joins` if others may have had its queries before."""
        if self.shared and empty is not None:
            # The kernel calls the denominator of an empty sum 1.
            log_total = log_total.masked_fill(empty, -math.inf)
        out, before = block.rows(self.out), block.rows(self.log_total)
        if not joins:
            out[:], before[:] = part, log_total
            return
        joint = torch.logaddexp(before, log_total)
        old, new = ((x - joint).exp().nan_to_num(nan=0.0)[..., None] for x in (before, log_total))
        out.mul_(old).add_(part * new)
        before.copy_(joint)


class _Biases:
    """What blocks add to their scores, and which queries see nothing there; made once for blocks that look alike."""

    def __init__(self, like: Tensor) -> None:
        self.like = like
        self.made: dict[tuple[int, ...], tuple[Tensor | None, Tensor | None]] = {}

    def get(self, block: Block) -> tuple[Float[Tensor, "#b 1 t s"] | None, Bool[Tensor, "#b t 1"] | None]:
        queries, keys = (len(range(span.stop)[span]) for span in (block.queries, block.keys))
        name = (queries, keys) if block.visible is None else (id(block.visible),)
        if name not in self.made:
            self.made[name] = self._make(block, queries=queries, keys=keys)
        return self.made[name]

    def _make(self, block: Block, *, queries: int, keys: int) -> tuple[Tensor | None, Tensor | None]:
        visible = block.visible
        if visible is None:
            if queries == 1:
                return None, None
            visible = torch.ones(1, queries, keys, dtype=torch.bool, device=self.like.device).tril(keys - queries)
        elif visible.stride(0) == 0:
            visible = visible[:1]
        bias = torch.zeros(visible.shape, dtype=self.like.dtype, device=self.like.device)
        empty = ~visible.any(dim=-1, keepdim=True)
        return bias.masked_fill_(~visible, -math.inf)[:, None], empty if bool(empty.any()) else None


def _heads_first(block: Block, look: Look) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = block.rows(look.query), block.columns(look.key), block.columns(look.value)
    return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)


def attend_openly(looks: Sequence[Look], *, dropout: float) -> Float[Tensor, "b t h e"]:
    """The same by matrix products and autograd: for other devices, and for dropped weights."""
    query = looks[0].query
    kind = torch.promote_types(query.dtype, torch.float32)
    biases = _Biases(query)
    peak = torch.full(query.shape[:3], -math.inf, dtype=kind, device=query.device)
    scored: list[tuple[Block, Tensor, Tensor]] = []
    for look in looks:
        for block in look.sight.blocks:
            q, k, v = _heads_first(block, look)
            scores = (q * scale(q.shape[-1])) @ k.transpose(2, 3)
            bias, _ = biases.get(block)
            scores = (scores if bias is None else scores + bias).to(kind)
            highest = block.rows(peak)
            highest.copy_(torch.maximum(highest, scores.detach().amax(dim=-1).transpose(1, 2)))
            scored.append((block, scores, v))
    total = torch.zeros_like(peak)
    out = torch.zeros(query.shape, dtype=kind, device=query.device)
    for block, scores, v in scored:
        weights = (scores - block.rows(peak).transpose(1, 2)[..., None]).exp()
        block.rows(total).add_(weights.sum(dim=-1).transpose(1, 2))
        kept = F.dropout(weights, dropout).to(v.dtype)
        block.rows(out).add_((kept @ v).transpose(1, 2))
    return (out / total[..., None]).to(query.dtype)
