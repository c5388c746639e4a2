"""A controller and a memory matrix over a chunk: one loop forward, one loop back, and weights' gradients at the end.

    h_t     = controller(x_t, r_(t-1), h_(t-1))             several layers, the first of which sees what was read
    told_t  = interface(W h_t + b)                          one product for all heads
    r_t, memory_t = access(told_t, memory_(t-1))            the architecture's own part

Steps are small: four lanes give arrays of a few kilobytes, and an operation costs less than autograd's record of it. So
a chunk is one node of the graph. Its steps run in inference mode, which spares them even the counting of versions, and
keep what they computed; the backward pass is written out in `Access.back` and `Layer.back`, with what of it is known
before it begins computed for all steps at once (`factors`); and every weight gets its gradient by one product for the
whole chunk. What leaves the node is made outside of inference mode, as a tensor that autograd can go on with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from everlong.nn.controller import Layer
from everlong.nn.interface import Interface, Told

Read = Float[Tensor, "b k"]
Leaves = tuple[Tensor, ...]


class Access(Protocol):
    """What an architecture does with its memory in one step, and the derivative of that."""

    interface: Interface

    def step(self, told: Told, leaves: Leaves) -> tuple[Read, Leaves, Any]:
        """What is read ``[b, r·w]``, the memory after, and what the backward pass needs."""
        ...

    def factors(self, kept: Sequence[Any]) -> Sequence[Any]:
        """What of the backward pass is known before it begins, for every step."""
        ...

    def back(self, factor: Any, d_read: Read, d_leaves: Leaves) -> tuple[Told, Leaves]:
        """Gradients of what was told, and of the memory before; changes `d_leaves`."""
        ...


class MachineState(NamedTuple):
    """Outputs and cells of recurrent layers ``[b l d]``, what was read last ``[b, r·w]``, and the access's leaves."""

    hidden: Tensor
    cell: Tensor
    read: Tensor
    leaves: Leaves


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The arithmetic of a model: kinds of layers and of access, without weights."""

    layers: tuple[Layer, ...]
    access: Access


class Weights(NamedTuple):
    """Of the layers, what multiplies ``[below; h]``; biases of all layers but the first; of the interface."""

    layers: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    interface: Tensor
    interface_bias: Tensor


def run_machine(
    machine: Machine, x: Float[Tensor, "t b g"], weights: Weights, state: MachineState
) -> tuple[Float[Tensor, "t b d"], Float[Tensor, "t b k"], MachineState]:
    """Outputs of the last layer, what was read, and the state after a stretch without resets or padding.

    Args:
        machine: what is computed.
        x: products of the input with the first layer's weights, bias included.
        weights: all others.
        state: that of the step before.
    """
    hidden, read, *after = _Run.apply(  # pyright: ignore[reportGeneralTypeIssues]
        machine,
        torch.is_grad_enabled(),
        x,
        *weights.layers,
        *weights.biases,
        weights.interface,
        weights.interface_bias,
        state.hidden,
        state.cell,
        state.read,
        *state.leaves,
    )
    return hidden, read, MachineState(after[0], after[1], after[2], tuple(after[3:]))


def together(steps: Sequence[Any]) -> Any:
    """One tensor ``[t ...]`` of the tensors of all steps; of tuples of tensors, a tuple like them."""
    first = steps[0]
    if isinstance(first, Tensor):
        return torch.stack(tuple(steps))
    return first and type(first)(*(together(part) for part in zip(*steps, strict=True)))


def by_step(whole: Any) -> list[Any]:
    """The opposite: a tuple of tensors ``[t ...]`` as one such tuple for each step."""
    return [type(whole)(*step) for step in zip(*(part.unbind(0) for part in whole), strict=True)]


def _cells(machine: Machine, hidden: Tensor, cell: Tensor) -> list[tuple[Tensor, ...]]:
    pairs = iter(zip(hidden.unbind(1), cell.unbind(1), strict=True))
    return [next(pairs) if layer.is_recurrent else () for layer in machine.layers]


def _stacked(cells: Sequence[tuple[Tensor, ...]], like: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    held = [cell for cell in cells if cell]
    if not held:
        return torch.zeros_like(like[0]), torch.zeros_like(like[1])
    return torch.stack([h for h, _ in held], dim=1), torch.stack([c for _, c in held], dim=1)


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, machine: Machine, keep: bool, x: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        count = len(machine.layers)
        rows, biases, (w, b, first, second, read, *rest) = (
            tensors[:count], tensors[count : 2 * count - 1], tensors[2 * count - 1 :]
        )  # fmt: skip
        cells, leaves = _cells(machine, first, second), tuple(rest)
        layers: list[list[Any]] = [[] for _ in machine.layers]
        accesses: list[Any] = []
        told: list[tuple[Tensor, Tensor]] = []
        tops: list[Tensor] = []
        reads: list[Tensor] = []
        with torch.inference_mode():
            columns, told_by = [weight.t() for weight in rows], w.t()
            for now in x.unbind(0):
                out = read
                for n, layer in enumerate(machine.layers):
                    known = now if n == 0 else biases[n - 1]
                    out, cells[n], kept = layer.step(known, out, cells[n], columns[n])
                    if keep:
                        layers[n].append(kept)
                raw = torch.addmm(b, out, told_by)
                y = machine.access.interface.of(raw)
                read, leaves, kept = machine.access.step(y, leaves)
                tops.append(out)
                reads.append(read)
                if keep:
                    told.append((raw, y))
                    accesses.append(kept)
        ctx.machine, ctx.layers, ctx.accesses, ctx.told, ctx.tops = machine, layers, accesses, told, tops
        ctx.save_for_backward(*rows, w, first, second)
        # What is kept for the backward pass must not be an output: the two would keep each other alive.
        hidden, cell = _stacked(cells, (first, second))
        return torch.stack(tops), torch.stack(reads), hidden, cell, read.clone(), *(leaf.clone() for leaf in leaves)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        machine: Machine = ctx.machine
        *rows, w, first, second = ctx.saved_tensors
        d_tops, d_reads, d_hidden, d_cell, d_read, *rest = grads
        with torch.inference_mode():
            d_cells, d_leaves = _cells(machine, d_hidden, d_cell), tuple(leaf.clone() for leaf in rest)
            raw, y = (torch.stack(part) for part in zip(*ctx.told, strict=True))
            slopes = machine.access.interface.slope(raw, y).unbind(0)
            factors = [layer.factors(kept) for layer, kept in zip(machine.layers, ctx.layers, strict=True)]
            accesses = machine.access.factors(ctx.accesses)
            d_top, d_each = d_tops.unbind(0), d_reads.unbind(0)
            time = len(ctx.tops)
            d_told: list[Tensor] = [d_read] * time
            d_known: list[list[Tensor]] = [[d_read] * time for _ in machine.layers]
            for t in range(time - 1, -1, -1):
                d_y, d_leaves = machine.access.back(accesses[t], d_read + d_each[t], d_leaves)
                d_told[t] = d_y.mul_(slopes[t])
                d_out = torch.addmm(d_top[t], d_told[t], w)
                for n in range(len(machine.layers) - 1, -1, -1):
                    d_known[n][t], d_out, d_cells[n] = machine.layers[n].back(factors[n][t], d_out, d_cells[n], rows[n])
                d_read = d_out
        d_x = [torch.stack(part) for part in d_known]
        d_rows = [
            d.flatten(0, 1).t() @ torch.cat([kept[0] for kept in layer])
            for d, layer in zip(d_x, ctx.layers, strict=True)
        ]
        flat = torch.cat(d_told)
        d_biases = [d.sum(dim=(0, 1)) for d in d_x[1:]]
        d_first, d_second = _stacked(d_cells, (first, second))
        return (
            None, None, d_x[0], *d_rows, *d_biases, flat.t() @ torch.cat(ctx.tops), flat.sum(dim=0),
            d_first, d_second, d_read.clone(), *(leaf.clone() for leaf in d_leaves),
        )  # fmt: skip
