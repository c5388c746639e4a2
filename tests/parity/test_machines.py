"""NTM, DNC and MANN against slow twins written from the papers: numbers, memories and gradients."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from everlong.models import create_model
from everlong.testing.subject import stir_weights
from tests.reference.dnc import dnc_one_by_one
from tests.reference.mann import mann_one_by_one
from tests.reference.ntm import ntm_one_by_one

SIZES = {"vocab_size": 7, "d_model": 6, "n_layers": 1, "memory_slots": 5, "slot_size": 3, "n_reads": 2}
TWINS: dict[str, Callable[..., Any]] = {"ntm": ntm_one_by_one, "dnc": dnc_one_by_one, "mann": mann_one_by_one}
REPAIRS = {"deallocate": True, "mask_keys": True, "sharpen_links": True}
CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in TWINS),
    *((name, {"n_layers": 3}) for name in TWINS),
    *((name, {"controller": "feed-forward", "n_layers": 2}) for name in TWINS),
    ("ntm", {"n_writes": 3, "n_reads": 1}),
    ("ntm", {"memory_slots": 2, "n_writes": 2}),
    ("dnc", {"n_reads": 1}),
    ("dnc", {"memory_slots": 2}),
    ("dnc", {"n_reads": 3, "deallocate": True}),
    ("dnc", {"mask_keys": True}),
    ("dnc", {"sharpen_links": True}),
    ("dnc", REPAIRS | {"n_layers": 2}),
    ("mann", {"n_reads": 3, "usage_decay": 0.5}),
    ("mann", {"n_reads": 5}),
    ("mann", {"n_reads": 2, "strengths": True}),
]


def make(name: str, fields: dict[str, Any]) -> Any:
    model = create_model(name, **SIZES | fields).double()
    stir_weights(model, seed=1)
    with torch.no_grad():
        # Gates away from the middle: slots are filled, freed and found again.
        model.interface.weight.mul_(4)
    return model


def answers(model: Any, tokens: Tensor) -> tuple[Tensor, Any]:
    """``[h_t; r_t]`` as the model hands them to its answer."""
    kept: list[Tensor] = []
    handle = model.answer.register_forward_hook(lambda _m, given, _out: kept.append(given[0]))
    _, memory = model(tokens)
    handle.remove()
    return kept[0], memory


@pytest.mark.parametrize(("name", "fields"), CASES, ids=str)
def test_equal_to_the_twin_with_gradients(name: str, fields: dict[str, Any]) -> None:
    model = make(name, fields)
    tokens = torch.randint(7, (2, 8))
    found, memory = answers(model, tokens)
    pairs = [TWINS[name](model, model.embedding(lane)) for lane in tokens]
    expected = torch.stack([pair[0] for pair in pairs])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    finals = [
        (leaf, torch.stack([held(twin, field) for _, twin in pairs]))
        for field, leaf in memory.flatten().items()
        if field not in ("position", "hidden", "cell", "read")
    ]
    for leaf, twin in finals:
        torch.testing.assert_close(leaf, twin, rtol=0, atol=1e-12)
    # Everything that goes out counts, the memory too: what comes after the chunk sends gradients into it.
    torch.manual_seed(5)
    mix = [torch.randn_like(found), *(torch.randn_like(leaf) for leaf, _ in finals)]
    weights = [p for p in model.parameters() if p.requires_grad]
    ours = [found, *(leaf for leaf, _ in finals)]
    theirs = [expected, *(twin for _, twin in finals)]
    gradients = [
        torch.autograd.grad(
            sum((out * m).sum() for out, m in zip(outs, mix, strict=True)), weights, materialize_grads=True,
            allow_unused=True,
        )
        for outs in (ours, theirs)
    ]  # fmt: skip
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-10 * max(1.0, float(two.abs().max())))


def held(twin: Any, field: str) -> Tensor:
    value = getattr(twin, field)
    return torch.stack(value) if isinstance(value, list) else value
