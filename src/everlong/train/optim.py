"""AdamW (Loshchilov & Hutter, 2019), with decay for matrices only, and its state as plain tensors."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

BETAS = (0.9, 0.99)
"""A stream's successive updates see similar text; a longer average of squares than for shuffled data steadies them."""


def make_optimizer(model: nn.Module, *, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW over all parameters. The fused kernel is several times faster than the others on a CPU too."""
    decayed = decayed_names(model)
    groups: list[dict[str, Any]] = [
        {"params": [p for name, p in model.named_parameters() if name in decayed], "weight_decay": weight_decay},
        {"params": [p for name, p in model.named_parameters() if name not in decayed], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=lr, betas=BETAS, eps=1e-8, fused=True)


def decayed_names(model: nn.Module) -> set[str]:
    """Parameters that decay: matrices that are neither embeddings nor biases."""
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    return {
        name
        for name, parameter in model.named_parameters()
        if parameter.ndim >= 2 and "bias" not in name.rpartition(".")[2] and id(parameter) not in embeddings
    }


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as ``parameter/quantity`` tensors on the CPU; whole on rank 0, empty elsewhere.

    Every rank must call this together where the parameters are shared out.
    """
    if not optimizer.state:
        return {}
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state: Mapping[str, Mapping[str, Tensor]] = get_optimizer_state_dict(model, optimizer, options=options).get(  # pyright: ignore[reportAssignmentType]
        "state", {}
    )
    return {f"{name}/{key}": value for name, values in state.items() for key, value in values.items()}


def put_optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Go on from a state that `optimizer_tensors` gave; an empty one is that of a new optimiser."""
    if not tensors:
        return
    state: dict[str, dict[str, Tensor]] = {}
    # Ranks exchange the tensors one by one, in this order; a file's order differs from process to process.
    for path, tensor in sorted(tensors.items()):
        name, _, key = path.rpartition("/")
        # The optimiser keeps and changes what it is given, and a file's tensors all live in one buffer.
        state.setdefault(name, {})[key] = tensor.clone()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = [{**group, "params": [names[id(p)] for p in group["params"]]} for group in optimizer.param_groups]
    set_optimizer_state_dict(
        model,
        optimizer,
        {"state": state, "param_groups": groups},  # pyright: ignore[reportArgumentType]
        options=StateDictOptions(full_state_dict=True, strict=False),
    )
    # A weight that no text has used yet, as a global projection, had no state either.
    for parameter in [p for p in optimizer.state if names[id(p)] not in state]:
        del optimizer.state[parameter]
