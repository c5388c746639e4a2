"""What a computation does, counted while it runs: every kernel that PyTorch calls passes through a ledger.

    operations   of matrix products, a multiplication and an addition being two; whatever the program multiplies counts,
                 pairs that it masks away and products that it computes again included
    calls        of kernels, views left out
    moved        bytes that kernels read and wrote
    early, late  bytes alive, of all that came into being meanwhile: when those that are no gradients were most, and at
                 most once every weight had its gradient
    kept         bytes of those that were alive at the end

Counts of matrix products by shape are those of `torch.utils.flop_counter`; what that leaves out is counted here: fused
attention and recurrent layers on a CPU, and products with vectors.
"""

import weakref
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
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


def count(run: Callable[[], object], model: nn.Module | None = None) -> Counts:
    """Run something once and count what it does; with its `model`, operations are told apart by part."""
    with Ledger({} if model is None else parts_of(model)) as ledger, _hooks(ledger, model):
        result = run()
        kept = ledger.alive
    del result
    return Counts(
        operations=sum(ledger.parts.values()),
        calls=ledger.calls,
        moved=ledger.moved,
        early=ledger.early,
        late=ledger.late,
        kept=kept,
        parts=ledger.parts,
    )


@contextmanager
def _hooks(ledger: "Ledger", model: nn.Module | None) -> Generator[None]:
    """Tell a ledger of every gradient that comes."""
    learned = [] if model is None else [p for p in model.parameters() if p.requires_grad]
    hooks = [parameter.register_post_accumulate_grad_hook(ledger.arrived) for parameter in learned]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


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
        self._known: set[int] = set()
        self.parts: dict[str, float] = {}
        self.calls = self.moved = self.alive = self.early = self.late = 0
        self._gradients: dict[int, int] = {}
        self._rest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a kernel and enter it."""
        del types
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        given, made = _tensors((args, kwargs)), _tensors(result)
        before = {_address(x) for x in given}
        new = [x for x in made if _address(x) not in before]
        if new or func._schema.is_mutable:
            self.calls += 1
            self.moved += sum(x.numel() * x.element_size() for x in given + new)
        if operations := operations_of(func, args, kwargs, result):
            part = next((self._part_of[at] for at in before if at in self._part_of), PAIRS)
            self.parts[part] = self.parts.get(part, 0.0) + operations
        for x in new:
            self._enter(x)
        rest = self.alive - sum(self._gradients.values())
        if rest > self._rest:
            self._rest, self.early = rest, self.alive
        self.late = max(self.late, self.alive)
        return result

    def arrived(self, parameter: Tensor) -> None:
        """A weight has its gradient; if it is the last one, what is alive late begins here."""
        if parameter.grad is not None:
            self._gradients[id(parameter)] = parameter.grad.nbytes
        self.late = self.alive

    def _enter(self, x: Tensor) -> None:
        at, storage = _address(x), x.untyped_storage()
        if at not in self._known:
            self._known.add(at)
            self.alive += storage.nbytes()
            weakref.finalize(storage, self._leave, at, storage.nbytes())

    def _leave(self, at: int, size: int) -> None:
        self._known.discard(at)
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


def _tensors(tree: Any) -> list[Tensor]:
    return [x for x in tree_leaves(tree) if isinstance(x, Tensor)]


def _address(x: Tensor) -> int:
    return address(x.untyped_storage())
