"""Reversible residual layers: the backward pass needs only the outputs (Gomez et al., 2017; Kitaev et al., 2020).

    Y1 = X1 + F(X2)        Y2 = X2 + G(Y1)             forwards, both streams of full width
    X2 = Y2 - G(Y1)        X1 = Y1 - F(X2)             and back

An ordinary graph is built, whose nodes keep a note in place of each tensor they save. When the backward pass asks for
the first tensor of a branch, the streams are taken back to that branch, and what its nodes had saved comes into being
again. So gradients flow as they always do: to weights, which collect theirs from all chunks before any hook fires (as
DDP and FSDP need), to whatever else a branch is given, and from whatever it leaves behind, in any order.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, final

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from everlong.nn.replay import Replay, version
from everlong.shapes import Hidden

Streams = tuple[Hidden, Hidden]

Branch = Callable[..., tuple[Hidden, Any]]
"""``branch(x, *given)``: what is added to the other stream, and what it leaves (entries to remember, say) or `None`."""


def run_reversible(
    branches: Sequence[Branch], streams: Streams, given: Sequence[tuple[Any, ...]], *, recompute: bool
) -> tuple[Streams, list[Any]]:
    """Both streams after a stack of branches, and what each branch left.

    Under autocast the streams are float32, whatever branches add to them.

    Args:
        branches: F and G of the first layer, F and G of the second, and so on. The first of a pair reads the second
            stream and adds to the first, the second the reverse. They change nothing in place, compute the same when
            called again, and make discrete choices by `everlong.nn.replay.decide`.
        streams: `X1` and `X2`; a model that has one embedding gives it twice.
        given: further arguments of each branch.
        recompute: keep only the outputs for the backward pass, and compute every branch again there. Without it, or
            where no gradients are recorded, this is a plain loop.

    Raises:
        TypeError: differences of the streams are to be taken, but in half precision they lose too much.
        RuntimeError: a branch changed its input in place. In the backward pass: what is needed again was changed in
            place, or a branch did not compute the same again.
    """
    walk = _Walk() if recompute and torch.is_grad_enabled() else None
    now = [_wide(stream, taken_back=walk is not None) for stream in streams]
    left: list[Any] = []
    for n, (branch, more) in enumerate(zip(branches, given, strict=True)):
        x = now[1 - n % 2]
        out, leaves = branch(x, *more) if walk is None else walk.step(branch, x, more)
        now[n % 2] = now[n % 2] + out
        left.append(leaves)
    if walk is not None:
        walk.end(now)
    return (now[0], now[1]), left


def _wide(stream: Hidden, *, taken_back: bool) -> Hidden:
    if stream.dtype.itemsize >= 4:
        return stream
    if torch.is_autocast_enabled(stream.device.type):
        return stream.float()
    if taken_back:
        raise TypeError(
            f"reversible streams of {stream.dtype} cannot be taken back: a difference lacks what the sum rounded off. "
            "Keep the weights in float32 and train under torch.autocast."
        )
    return stream


class _Note(NamedTuple):
    """What a node of the graph keeps in place of a tensor."""

    step: int
    number: int


@final
class _Walk:
    """The way back through a stack: the streams at its end, and how to undo every step."""

    def __init__(self) -> None:
        self._steps: list[Replay] = []
        self._end: list[Tensor] = []
        self._versions: list[int] = []
        # The streams before step `at`. A request for that step or a later one begins a backward pass.
        self._at = 0
        self._streams: list[Tensor] = []

    def step(self, branch: Branch, x: Hidden, given: tuple[Any, ...]) -> tuple[Hidden, Any]:
        """Call the next branch; nodes of its graph will come back here for what they would have saved."""
        step, n = Replay(branch, x, given), len(self._steps)
        self._steps.append(step)
        with saved_tensors_hooks(lambda tensor: _Note(n, step.leave_out(tensor)), self._bring):
            return step.first(x)

    def end(self, streams: Sequence[Hidden]) -> None:
        """Here the forward pass ends and every backward pass begins."""
        self._end = [stream.detach() for stream in streams]
        self._versions = [version(stream) for stream in streams]

    def _bring(self, note: _Note) -> Tensor:
        step = self._steps[note.step]
        if not step.has(note.number):
            self._go_back_to(note.step)
        return step.take(note.number)

    def _go_back_to(self, step: int) -> None:
        if self._at <= step:
            if [version(stream) for stream in self._end] != self._versions:
                raise RuntimeError(
                    "an output of a reversible stack was changed in place, and the backward pass begins with it. "
                    "Make a new tensor of it: y = f(y), no function whose name ends in an underscore."
                )
            self._at, self._streams = len(self._steps), list(self._end)
        while self._at > step:
            self._at -= 1
            target = self._at % 2
            out = self._steps[self._at].again(self._streams[1 - target])
            self._streams[target] = self._streams[target] - out
