"""How an optimisation goes, for who asks: figures of a side pass over the batches that the next update will read.

    source_gradient_S         norm of the gradient of one source of loss: the targets, or a loss of the memory itself
    update_ratio_G            |w' - w| / |w| of the update just made, by group of weights
    age_gradient_K            how much of a loss reaches the memory K tokens before (everlong.train.gradient_ages)
    time_scale_qP_layer_N     how long the units of a layer remember (everlong.train.time_scales)

Weights, gradients, random state, batches and the carried memory are afterwards what they were before.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from everlong.data import Chunk
from everlong.data.chunk import Batch
from everlong.memory import Memory
from everlong.models import LanguageModel
from everlong.models.base import Model
from everlong.train.config import TrainConfig
from everlong.train.gradient_ages import gradient_ages
from everlong.train.objective import Objective
from everlong.train.task import Reader
from everlong.train.time_scales import time_scales

B = TypeVar("B", bound=Batch)


def diagnose(
    objective: Objective[Any],
    reader: Reader[Any],
    memory: Memory | None,
    config: TrainConfig,
    before: Mapping[str, Tensor],
) -> dict[str, float]:
    """All figures after an update, by their names in the metrics file.

    Args:
        objective: the model and its loss.
        reader: what the next update reads from.
        memory: what it begins with.
        config: says how many chunks gradients flow through; the ages reach back over twice as many.
        before: the weights before the update (`copied_weights`).
    """
    model = objective.model
    device = model.device
    chunks = [batch.to(device) for batch in ahead(reader, 2 * config.window)]
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        found = {
            **source_gradients(objective, chunks[: config.window], memory),
            **update_ratios(model, before),
        }
        if isinstance(model, LanguageModel) and _is_text(chunks[0]):
            # A sequence that begins with an empty memory is a stream of its own.
            stream = chunks if memory is not None else chunks[:1]
            start = model.init_memory(len(stream[0].tokens)) if memory is None else memory
            found |= gradient_ages(model, stream, start) | time_scales(model, stream[0], start)
    return found


def ahead(reader: Reader[B], count: int) -> list[B]:
    """The next batches, which will be read again."""
    cursor = reader.cursor()
    try:
        return [next(reader) for _ in range(count)]
    finally:
        reader.seek(cursor)


def source_gradients(objective: Objective[Any], window: list[Any], memory: Memory | None) -> dict[str, float]:
    """Norms of the gradients of each source of loss, weighed as in an update of one window, before clipping."""
    weights = [p for p in objective.model.parameters() if p.requires_grad]
    summed, _, aux = objective(window, memory)
    sources = {"targets": summed / max(1, sum(batch.n_targets for batch in window))}
    sources |= {name: loss / len(window) for name, loss in aux.items()}
    found: dict[str, float] = {}
    for name, loss in sources.items():
        gradients = torch.autograd.grad(loss, weights, retain_graph=True, materialize_grads=True)
        found[f"source_gradient_{name}"] = float(nn.utils.get_total_norm(gradients))
    return found


def copied_weights(model: Model) -> dict[str, Tensor]:
    """Copies of all weights by name."""
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def update_ratios(model: Model, before: Mapping[str, Tensor]) -> dict[str, float]:
    """``|w' - w| / |w|`` of each group of weights that is not all zero; 1e-3 is usual, 1e-2 is much."""
    squares: dict[str, tuple[Tensor, Tensor]] = {}
    for name, after in model.named_parameters():
        moved, size = squares.get(group_of(name), (0.0, 0.0))
        squares[group_of(name)] = (
            moved + (after.detach() - before[name]).double().square().sum(),
            size + before[name].double().square().sum(),
        )
    return {
        f"update_ratio_{name}": float((moved / size).sqrt()) for name, (moved, size) in squares.items() if float(size)
    }


def group_of(name: str) -> str:
    """The group of a weight: its layer in a stack, else the part of the model that has it.

    >>> group_of("layers.3.attention.query.weight"), group_of("cells.weight_hh_l0")
    ('layers.3', 'cells')
    """
    words = name.split(".")
    numbers = [at for at, word in enumerate(words) if word.isdigit()]
    return ".".join(words[: numbers[0] + 1]) if numbers else words[0]


def _is_text(batch: Any) -> bool:
    return isinstance(batch, Chunk) and not batch.tokens.is_floating_point()
