"""What a computation does, counted while it runs: every kernel that PyTorch calls passes through a ledger.

    operations   of matrix products, a multiplication and an addition being two; whatever the program multiplies counts,
                 pairs that it masks away and products that it computes again included
    calls        of kernels, views left out
    moved        bytes that kernels read and wrote
    early, late  bytes alive, of all that came into being meanwhile: when those that are no gradients were most, and at
                 most once every weight had its gradient
    kept         bytes of those that were alive at the end, or after a forward pass

Counts of matrix products by shape are those of `torch.utils.flop_counter`; what that leaves out is counted here: fused
attention and recurrent layers on a CPU, and products with vectors.
"""

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from typing import Any, cast, final

import torch
from torch import Tensor, UntypedStorage, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

HEAD, FEED_FORWARD, WEIGHTS, PAIRS = "head", "feed-forward", "other weights", "attention and memory"
"""Parts of a model by what a product multiplies: the head's weights, those of feed-forward maps, any others, none."""

aten = torch.ops.aten

address: Callable[[object], int] = attrgetter("_cdata")
"""Where a storage lives."""


@final
@dataclass(frozen=True, kw_only=True)
class Counts:
    """What a computation did."""

    operations: float = 0.0
    calls: float = 0.0
    moved: float = 0.0
    early: float = 0.0
    late: float = 0.0
    kept: float = 0.0
    parts: Mapping[str, float] = field(default_factory=dict[str, float])
    """Operations by part of the model."""

    @property
    def peak(self) -> float:
        """Most bytes that were alive at once.

        Activations go as gradients come. The bytes of either moment are a line in lanes and in layers.
        """
        return max(self.early, self.late)


def combine(weighted: Iterable[tuple[float, Counts]]) -> Counts:
    """A sum of counts, each times a weight."""
    parts: dict[str, float] = {}
    operations = calls = moved = early = late = kept = 0.0
    for weight, counts in weighted:
        operations += weight * counts.operations
        calls += weight * counts.calls
        moved += weight * counts.moved
        early += weight * counts.early
        late += weight * counts.late
        kept += weight * counts.kept
        for name, value in counts.parts.items():
            parts[name] = parts.get(name, 0.0) + weight * value
    return Counts(operations=operations, calls=calls, moved=moved, early=early, late=late, kept=kept, parts=parts)


def count(run: Callable[[], object], model: nn.Module | None = None, *, forward: nn.Module | None = None) -> Counts:
    """Run something once and count what it does.

    Args:
        run: what is counted.
        model: whose weights tell operations apart by part, and whose gradients are told from other bytes.
        forward: the module whose first call in it is the forward pass that `kept` and `parts` are those of; ``None``
            for all of it.
    """
    learned = [] if model is None else [p for p in model.parameters() if p.requires_grad]
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger({} if model is None else parts_of(model)))
        for parameter in learned:
            stack.callback(parameter.register_post_accumulate_grad_hook(ledger.arrived).remove)
        if forward is not None:
            stack.callback(forward.register_forward_hook(ledger.passed).remove)
        result = run()
        if forward is None:
            ledger.passed()
    del result
    return Counts(
        operations=sum(ledger.parts.values()),
        calls=ledger.calls,
        moved=ledger.moved,
        early=ledger.early,
        late=ledger.late,
        kept=ledger.kept,
        parts=ledger.parts_forward,
    )


def parts_of(model: nn.Module) -> dict[int, str]:
    """The part of each weight, by the address of its storage. A table that is also the head's belongs to the head."""
    found: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        where = name.split(".")
        part = HEAD if "head" in where else FEED_FORWARD if "ff" in where else WEIGHTS
        if found.get(_address(parameter)) != HEAD:
            found[_address(parameter)] = part
    return found


@final
class Ledger(TorchDispatchMode):
    """Counts the kernels that are called while it is entered, in backward passes too."""

    def __init__(self, parts: Mapping[int, str]) -> None:
        super().__init__()
        self._part_of = parts
        self._known: dict[int, weakref.ref[UntypedStorage]] = {}
        self.parts: dict[str, float] = {}
        self.parts_forward: dict[str, float] = {}
        self.calls = self.moved = self.alive = self.early = self.late = self.kept = 0
        self._gradients: dict[int, int] = {}
        self._of_gradients = self._rest = 0
        self._passed = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a kernel and enter it."""
        del types
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given = _tensors((args, tuple(kwargs.values())))
        before = [_address(x) for x in given]
        new = [x for x in _tensors((result,)) if _address(x) not in before]
        if new or func._schema.is_mutable:
            self.calls += 1
            self.moved += sum(x.nbytes for x in given) + sum(x.nbytes for x in new)
        if operations := operations_of(func, args, kwargs, result):
            part = next((self._part_of[at] for at in before if at in self._part_of), PAIRS)
            self.parts[part] = self.parts.get(part, 0.0) + operations
        for x in new:
            self._enter(x)
        rest = self.alive - self._of_gradients
        if rest > self._rest:
            self._rest, self.early = rest, self.alive
        self.late = max(self.late, self.alive)
        return result

    def arrived(self, parameter: Tensor) -> None:
        """A weight has its gradient; if it is the last one, what is alive late begins here."""
        if parameter.grad is not None:
            self._of_gradients += parameter.grad.nbytes - self._gradients.get(id(parameter), 0)
            self._gradients[id(parameter)] = parameter.grad.nbytes
        self.late = self.alive

    def passed(self, *_: object) -> None:
        """A forward pass is over; the first one is told."""
        if not self._passed:
            self._passed, self.kept, self.parts_forward = True, self.alive, dict(self.parts)

    def _enter(self, x: Tensor) -> None:
        at, storage = _address(x), x.untyped_storage()
        if at not in self._known:
            size = storage.nbytes()
            self.alive += size
            self._known[at] = weakref.ref(storage, partial(self._leave, at, size))

    def _leave(self, at: int, size: int, _: object) -> None:
        del self._known[at]
        self.alive -= size


def operations_of(func: Any, args: Any, kwargs: Any, result: Any) -> float:
    """Operations of one kernel; 0 for all that multiply no matrices."""
    packet = func._overloadpacket
    if packet in flop_registry:
        return float(flop_registry[packet](*args, **kwargs, out_val=result))
    if packet in OTHERS:
        return OTHERS[packet](args)
    return 0.0


def _attention(args: Any) -> float:
    query, key, value = args[:3]
    pairs = query.numel() // query.shape[-1] * key.shape[-2]
    return 2.0 * pairs * (query.shape[-1] + value.shape[-1])


def _attention_backward(args: Any) -> float:
    # Scores once more, then the gradients of weights, values, queries and keys: five products for two.
    query, key, value = args[1:4]
    pairs = query.numel() // query.shape[-1] * key.shape[-2]
    return 2.0 * pairs * (3 * query.shape[-1] + 2 * value.shape[-1])


def _recurrent(args: Any) -> float:
    x, of_input, of_state = args[:3]
    return 2.0 * (x.numel() // x.shape[-1]) * (of_input.numel() + of_state.numel())


OTHERS: dict[Any, Callable[[Any], float]] = {
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    aten.mkldnn_rnn_layer: _recurrent,
    aten.mkldnn_rnn_layer_backward: lambda args: 2 * _recurrent(args),
    aten.mv: lambda args: 2.0 * args[0].numel(),
    aten.addmv: lambda args: 2.0 * args[1].numel(),
    aten.dot: lambda args: 2.0 * args[0].numel(),
}
"""Operations of kernels that multiply matrices and that the flop counter leaves out."""


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    """Those among what a kernel takes or gives, in lists too; a general walk over trees takes as long as the kernel."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += _tensors(cast("Sequence[Any]", value))
    return found


def _address(x: Tensor) -> int:
    return address(x.untyped_storage())
