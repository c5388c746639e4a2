"""Computing something a second time, so that it comes out as it did the first time.

What is not kept for the backward pass is computed again there. That gives the same only with the same chance (dropout),
in the same precision (autocast), and with the same choices: an input that differs in its last bits may fall into
another bucket, and then gradients would belong to a computation that never took place.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from operator import attrgetter
from typing import Any, TypeVar, final

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

T = TypeVar("T")

version: Callable[[Tensor], int] = attrgetter("_version")
"""How often a tensor was written to."""

_decider: ContextVar[Callable[[Callable[[], Any]], Any] | None] = ContextVar("_decider", default=None)


def decide(choose: Callable[[], T]) -> T:
    """What `choose` returns, without gradients; the same result again where a computation is repeated.

    For everything discrete that is made from hidden states: buckets, orders, whatever tells indices or shapes. It is
    kept for the backward pass, so let it be small.
    """
    decider = _decider.get()
    with torch.no_grad():
        return choose() if decider is None else decider(choose)


@final
class Moment:
    """The state of chance and of autocast when it was made, on the CPU and on `device`, and the choices made since."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._chance = torch.get_rng_state()
        self._autocast = [
            (kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)) for kind in {"cpu", device.type}
        ]
        self._has_own_chance = device.type != "cpu"
        if self._has_own_chance:
            self._own_chance = torch.get_device_module(device).get_rng_state(device)
        self._choices: list[Any] = []

    @contextmanager
    def first(self) -> Generator[None]:
        """Compute for the first time; choices are kept."""

        def keep(choose: Callable[[], Any]) -> Any:
            self._choices.append(choose())
            return self._choices[-1]

        with _deciding(keep):
            yield

    @contextmanager
    def again(self) -> Generator[None]:
        """Compute once more, by the same chance, in the same precision and with the same choices."""
        made = iter(self._choices)
        devices = [self._device] if self._has_own_chance else []
        with ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng(devices, device_type=self._device.type))
            torch.set_rng_state(self._chance)
            if self._has_own_chance:
                torch.get_device_module(self._device).set_rng_state(self._own_chance, self._device)
            for setting in self._autocast:
                stack.enter_context(torch.autocast(*setting))
            stack.enter_context(_deciding(lambda _: next(made)))
            yield


@contextmanager
def _deciding(decider: Callable[[Callable[[], Any]], Any]) -> Generator[None]:
    before = _decider.set(decider)
    try:
        yield
    finally:
        _decider.reset(before)


@final
class Replay:
    """A call whose graph saves no tensors, and which can be made again to have them.

    Args:
        function: what is called with an input ``x`` and further arguments, and returns a tensor and anything else.
        x: the input, which is not kept; to make the call again it must be brought.
        given: the further arguments.
    """

    def __init__(self, function: Callable[..., tuple[Tensor, Any]], x: Tensor, given: tuple[Any, ...]) -> None:
        self._function, self._given, self._needs_gradient = function, given, x.requires_grad
        self._moment = Moment(x.device)
        weights = function.parameters() if isinstance(function, nn.Module) else ()
        self._sources = [*(thing for thing in given if isinstance(thing, Tensor)), *weights]
        self._versions = [version(source) for source in self._sources]
        self._left_out: list[str] = []
        self._found: list[tuple[Tensor, int] | None] = []

    def first(self, x: Tensor) -> tuple[Tensor, Any]:
        """The call itself, within hooks that ask `leave_out`.

        Raises:
            RuntimeError: the function wrote to its input.
        """
        before = version(x)
        with self._moment.first():
            result = self._function(x, *self._given)
        if version(x) != before:
            raise RuntimeError(
                f"{self._name} wrote to its input, which others use as well. "
                "Make a new tensor of it: x = f(x), no function whose name ends in an underscore."
            )
        return result

    def leave_out(self, tensor: Tensor) -> int:
        """Do not save a tensor; the answer is the number by which it is known later."""
        self._left_out.append(_kind(tensor))
        return len(self._left_out) - 1

    def again(self, x: Tensor) -> Tensor:
        """The tensor that the call returned, computed once more; what the graph saves is kept this time.

        Raises:
            RuntimeError: a weight or an argument is not what it was, or what was computed is not.
        """
        if [version(source) for source in self._sources] != self._versions:
            raise RuntimeError(
                f"a weight or an argument of {self._name} was changed in place after the forward pass, "
                "and the backward pass computes with it again. Call backward before optimizer.step."
            )
        self._found = []
        with self._moment.again(), torch.enable_grad(), saved_tensors_hooks(self._find, lambda found: found):
            out, _ = self._function(x.detach().requires_grad_(self._needs_gradient), *self._given)
        kinds = [_kind(found[0]) for found in self._found if found is not None]
        if kinds != self._left_out:
            raise RuntimeError(
                f"{self._name} computed something else when it was called again: {_change(self._left_out, kinds)}. "
                "Let it depend on its arguments alone, and make choices by everlong.nn.replay.decide."
            )
        return out.detach()

    def has(self, number: int) -> bool:
        """Whether a tensor is there to be taken."""
        return number < len(self._found) and self._found[number] is not None

    def take(self, number: int) -> Tensor:
        """A tensor that the graph would have saved; it is kept no longer.

        Raises:
            RuntimeError: it was written to after a gradient came to depend on it.
        """
        found = self._found[number]
        assert found is not None
        self._found[number] = None
        tensor, then = found
        if version(tensor) != then:
            raise RuntimeError(
                f"{self._name} wrote to a {_kind(tensor)} that its gradient needs as it was before. "
                "Compute a new tensor there, by no function whose name ends in an underscore."
            )
        return tensor

    def _find(self, tensor: Tensor) -> Tensor:
        kept = tensor.detach()
        self._found.append((kept, version(kept)))
        return kept

    @property
    def _name(self) -> str:
        return type(self._function).__name__ if isinstance(self._function, nn.Module) else repr(self._function)


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"


def _change(before: Sequence[str], after: Sequence[str]) -> str:
    for old, new in zip(before, after, strict=False):
        if old != new:
            return f"{old} became {new}"
    return f"{len(before)} saved tensors became {len(after)}"
