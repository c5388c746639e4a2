"""Where a matrix memory was written and read, step by step, while a model read one sequence.

    step t    y_t, memory_t = model(x_t, memory_(t-1))      weights over slots of every head that wrote or read

The steps are single calls from an empty memory: by the contract, their answers are those of the whole sequence.
"""

from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from everlong.errors import ConfigError
from everlong.evaluate.mode import evaluating
from everlong.models import describe_model, list_models
from everlong.models.base import Model
from everlong.models.machine import MachineConfig, MachineModel, Touched


@final
@dataclass(frozen=True, kw_only=True)
class Trace:
    """What every step answered, and its weights over the slots, on the CPU."""

    answers: Float[Tensor, "t v"]
    """Logits of tokens or of bits."""
    writes: Float[Tensor, "t writes s"]
    reads: Float[Tensor, "t reads s"]
    usage: Float[Tensor, "t s"] | None
    """How much each slot was in use after the step, where the memory keeps account of it."""


def trace(model: MachineModel[Any], inputs: Tensor) -> Trace:
    """Read one sequence, tokens ``[t]`` or vectors ``[t i]``, from an empty memory.

    Raises:
        ShapeError: it is empty, or not what the model reads.
    """
    x = inputs.to(model.device, model.dtype if inputs.is_floating_point() else None)
    answers: list[Tensor] = []
    steps: list[Touched] = []
    with evaluating(model), torch.inference_mode():
        memory = model.init_memory(1)
        for now in x.split(1):
            answer, after = model(now[None], memory)
            answers.append(answer[0])
            steps.append(model.touched(memory, after))
            memory = after
    writes, reads, usage = zip(*steps, strict=True)
    return Trace(
        answers=torch.cat(answers).cpu(),
        writes=torch.cat(writes).cpu(),
        reads=torch.cat(reads).cpu(),
        usage=None if usage[0] is None else torch.cat(usage).cpu(),
    )


def require_matrix(model: Model) -> MachineModel[Any]:
    """The model, as one whose memory is a matrix.

    Raises:
        ConfigError: it has no such memory.
    """
    if not isinstance(model, MachineModel):
        machines = [name for name in list_models() if issubclass(describe_model(name)[1], MachineConfig)]
        raise ConfigError(
            f"{model.architecture} has no matrix in which it writes and reads, as {', '.join(machines)} have. "
            "Probe one of these, or measure what this one's memory is worth with everlong eval."
        )
    return model
