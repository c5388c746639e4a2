"""Maps whose inner or outer width is large, some rows at a time: the wide tensors exist for one piece only.

Both are exact, forward and backward. They keep their narrow inputs for the backward pass and make the wide tensors
again there, piece by piece.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from everlong.nn.replay import Moment
from everlong.shapes import IGNORE


def feed_forward_in_pieces(
    x: Float[Tensor, "n d"],
    up: tuple[Float[Tensor, "f d"], Float[Tensor, "f"]],
    down: tuple[Float[Tensor, "k f"], Float[Tensor, "k"]],
    *,
    activation: Callable[[Tensor], Tensor],
    dropout: float,
    piece: int,
) -> Float[Tensor, "n k"]:
    """``W2 dropout(activation(W1 x + b1)) + b2`` for `piece` rows at a time (Kitaev et al., 2020, section 3).

    Args:
        x: one row a token.
        up: `W1` and `b1`.
        down: `W2` and `b2`.
        activation: may write into what it is given.
        dropout: share of inner values dropped.
        piece: rows at a time.
    """
    return _FeedForward.apply(*_cast(x, *up, *down), activation, dropout, piece)  # pyright: ignore[reportReturnType]


def losses_in_pieces(
    hidden: Float[Tensor, "n d"], out: tuple[Float[Tensor, "v d"], Float[Tensor, "v"]], targets: Int[Tensor, "n"]
) -> Float[Tensor, "n"]:
    """``-log softmax(W h + b)`` at each target, in nats; 0 where the target is `IGNORE`.

    Logits become float32 at least: a sum of many exponentials is wrong in half precision. Where all of them make one
    piece they are few, and kept.

    Args:
        hidden: one row a token.
        out: `W` and `b`.
        targets: one a row.
    """
    if hidden.shape[0] <= _rows_of_logits(out[0]):
        return _losses(hidden, *out, targets)
    return _Losses.apply(*_cast(hidden, *out), targets)  # pyright: ignore[reportReturnType]


class _FeedForward(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        up: Tensor,
        up_bias: Tensor,
        down: Tensor,
        down_bias: Tensor,
        activation: Callable[[Tensor], Tensor],
        dropout: float,
        piece: int,
    ) -> Tensor:
        ctx.moment, ctx.activation, ctx.dropout, ctx.piece = Moment(x.device), activation, dropout, piece
        ctx.save_for_backward(x, up, up_bias, down)
        out = x.new_empty(x.shape[0], down.shape[0])
        for rows in _pieces(x, piece):
            inner = F.dropout(activation(F.linear(x[rows], up, up_bias)), dropout)
            out[rows] = F.linear(inner, down, down_bias)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, up, up_bias, down = (kept.detach() for kept in ctx.saved_tensors)
        (grad,) = grads
        d_x, (d_up, d_up_bias, d_down) = torch.empty_like(x), map(_total, (up, up_bias, down))
        with ctx.moment.again():
            for rows in _pieces(x, ctx.piece):
                with torch.enable_grad():
                    given = [tensor.detach().requires_grad_() for tensor in (x[rows], up, up_bias)]
                    inner = F.dropout(ctx.activation(F.linear(*given)), ctx.dropout)
                d_x[rows], d_up_here, d_up_bias_here = torch.autograd.grad(inner, given, grad[rows] @ down)
                d_up += d_up_here
                d_up_bias += d_up_bias_here
                _add_product(d_down, grad[rows].t(), inner.detach())
        return d_x, d_up.to(x.dtype), d_up_bias.to(x.dtype), d_down.to(x.dtype), grad.sum(dim=0), None, None, None


class _Losses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
        ctx.save_for_backward(hidden, weight, bias, targets)
        parts = [
            _losses(hidden[rows], weight, bias, targets[rows]) for rows in _pieces(hidden, _rows_of_logits(weight))
        ]
        return torch.cat(parts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        hidden, weight, bias, targets = ctx.saved_tensors
        grad = grads[0].masked_fill(targets == IGNORE, 0)[:, None]
        wanted = targets.clamp(min=0)[:, None]
        d_hidden, (d_weight, d_bias) = torch.empty_like(hidden), map(_total, (weight, bias))
        for rows in _pieces(hidden, _rows_of_logits(weight)):
            logits = F.linear(hidden[rows], weight, bias).to(grad.dtype)
            d_logits = logits.softmax(dim=1).mul_(grad[rows]).scatter_add_(1, wanted[rows], -grad[rows])
            d_bias += d_logits.sum(dim=0)
            d_logits = d_logits.to(hidden.dtype)
            _add_product(d_weight, d_logits.t(), hidden[rows])
            d_hidden[rows] = d_logits @ weight
        return d_hidden, d_weight.to(weight.dtype), d_bias.to(bias.dtype), None


def _losses(hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    logits = F.linear(hidden, weight, bias)
    return F.cross_entropy(logits.to(_wide(logits.dtype)), targets, ignore_index=IGNORE, reduction="none")


def _rows_of_logits(weight: Tensor) -> int:
    """8 MiB of logits on a CPU, 256 MiB elsewhere; but products of fewer than 64 rows are slow."""
    logits = 1 << (21 if weight.device.type == "cpu" else 26)
    return max(64, logits // weight.shape[0])


def _pieces(x: Tensor, rows: int) -> Iterator[slice]:
    return (slice(at, at + rows) for at in range(0, x.shape[0], rows))


def _cast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in autocast's type where it is on: the backward pass of a Function does not know of it."""
    kind = tensors[0].device.type
    if not torch.is_autocast_enabled(kind):
        return tensors
    return tuple(tensor.to(torch.get_autocast_dtype(kind)) for tensor in tensors)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype.itemsize < 4 else dtype


def _total(like: Tensor) -> Tensor:
    return torch.zeros_like(like, dtype=_wide(like.dtype))


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right
