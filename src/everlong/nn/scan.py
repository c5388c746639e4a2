"""Recurrent cells over a chunk: whole stretches by the fastest kernel, documents and idle lanes kept apart.

GRU   r = s(Wr x + Ur h)   z = s(Wz x + Uz h)   n = tanh(Wn x + r (Un h))   h' = (1 - z) n + z h     (Cho et al., 2014,
      with the reset gate after the product, as cuDNN and torch.nn have it)
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from everlong.clock import Clock
from everlong.shapes import Hidden

State = tuple[Float[Tensor, "b ..."], ...]
Known = Float[Tensor, "b t g"]
Run = Callable[[Known, State], tuple[Hidden, State]]


def scan(run: Run, x: Known, state: State, *, clock: Clock, new: State | None = None) -> tuple[Hidden, State]:
    """Outputs of a chunk and the state after each lane's last real token.

    `run` reads a stretch without resets or padding. The chunk is cut where some lane begins a document, and there that
    lane's state becomes `new`, or zero; it is also cut where some lane ends, and from there that lane's state stays as
    it is.
    """
    if clock.lengths is None and not clock.resets and bool(clock.position[:, 0].all()):
        return run(x, state)
    ends = sorted({*clock.resets, *([] if clock.lengths is None else clock.lengths.tolist()), clock.time} - {0})
    outputs: list[Tensor] = []
    began = 0
    for end in ends:
        fresh = clock.position[:, began] == 0
        alive = None if clock.lengths is None else clock.lengths > began
        if bool(fresh.any()):
            begin = tuple(map(torch.zeros_like, state)) if new is None else new
            state = _choose(fresh if alive is None else fresh & alive, begin, state)
        output, after = run(x[:, began:end], state)
        state = after if alive is None else _choose(alive, after, state)
        outputs.append(output)
        began = end
    return (outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)), state


def own_precision(x: Tensor) -> AbstractContextManager[Any]:
    """Without autocast: a state that runs through thousands of steps is not rounded at each."""
    if torch.is_autocast_enabled(x.device.type):
        return torch.autocast(x.device.type, enabled=False)
    return nullcontext()


def layer_weights(cells: nn.RNNBase) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Input and hidden weights, then input and hidden biases, of one layer after the other."""
    weights = cells.parameters()
    return zip(weights, weights, weights, weights, strict=True)


def make_orthogonal(cells: nn.RNNBase) -> None:
    """Let the hidden weights of each gate of each layer, which is square, begin orthogonal: no direction fades."""
    for _, hidden, _, _ in layer_weights(cells):
        for gate in hidden.detach().split(hidden.shape[1]):
            nn.init.orthogonal_(gate)


def _choose(lanes: Tensor, there: State, elsewhere: State) -> State:
    return tuple(torch.where(lanes.view(-1, *[1] * (a.ndim - 1)), a, b) for a, b in zip(there, elsewhere, strict=True))


def gru_layer(
    x: Float[Tensor, "b t k"],
    h: Float[Tensor, "b d"],
    w_ih: Float[Tensor, "3*d k"],
    w_hh: Float[Tensor, "3*d d"],
    b_ih: Float[Tensor, "3*d"],
    b_hh: Float[Tensor, "3*d"],
) -> Float[Tensor, "b t d"]:
    """Hidden states of one GRU layer, equal to ``torch.nn.GRU``.

    The library steps through time with one small product per gate set and an autograd node for everything. Here the
    input's products are one matrix product for the chunk, a step is one small product and five fused maps, and the
    backward pass is written out: all that does not depend on later steps is computed for the whole chunk at once.
    """
    gates = F.linear(x.transpose(0, 1), w_ih, b_ih)
    return _GRU.apply(gates, h, w_hh, b_hh).transpose(0, 1)  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]


class _GRU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gates: Tensor, h: Tensor, w_hh: Tensor, b_hh: Tensor) -> Tensor:
        time, lanes, width = gates.shape[0], gates.shape[1], h.shape[1]
        rz = torch.empty(time, lanes, 2 * width, dtype=h.dtype, device=h.device)
        n, inner, out = (torch.empty(time, lanes, width, dtype=h.dtype, device=h.device) for _ in range(3))
        last = h
        for t in range(time):
            # With few lanes, weights times columns is up to twice as fast as rows times weights.
            hidden = torch.addmm(b_hh[:, None], w_hh, last.t()).t()
            torch.add(gates[t, :, : 2 * width], hidden[:, : 2 * width], out=rz[t]).sigmoid_()
            inner[t] = hidden[:, 2 * width :]
            torch.addcmul(gates[t, :, 2 * width :], rz[t, :, :width], inner[t], out=n[t]).tanh_()
            torch.lerp(n[t], last, rz[t, :, width:], out=out[t])
            last = out[t]
        ctx.save_for_backward(h, w_hh, rz, n, inner, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        h, w_hh, rz, n, inner, out = ctx.saved_tensors
        (grad,) = grads
        time, lanes, width = out.shape
        r, z = rz.chunk(2, dim=-1)
        before = torch.cat([h[None], out[:-1]])
        # Every gate's gradient is d_h times a factor that is known before the backward steps begin.
        to_n = (1 - z) * (1 - n * n)
        factors = torch.stack([to_n * inner * r * (1 - r), (before - n) * z * (1 - z), to_n * r], dim=2)
        d_hidden = torch.empty_like(factors)
        d_out = torch.empty_like(out)
        d_h = torch.zeros_like(h)
        rows = w_hh.t().contiguous()
        for t in range(time - 1, -1, -1):
            torch.add(grad[t], d_h, out=d_out[t])
            torch.mul(factors[t], d_out[t, :, None], out=d_hidden[t])
            d_h = torch.addmm((d_out[t] * z[t]).t(), rows, d_hidden[t].view(lanes, -1).t()).t()
        flat = d_hidden.view(time * lanes, 3 * width)
        d_gates = torch.cat([d_hidden[:, :, :2].flatten(2), d_out * to_n], dim=-1)
        return d_gates, d_h, flat.t() @ before.reshape(time * lanes, width), flat.sum(dim=0)
