"""One update: gradients of some windows, added up over ranks, clipped and stepped along."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from everlong.data.chunk import Batch
from everlong.errors import ConfigError, Diverged
from everlong.memory import Memory
from everlong.models.base import Model
from everlong.train.config import TrainConfig
from everlong.train.distribution import World, distribute, last_of_update
from everlong.train.memory_dropout import MemoryDropout
from everlong.train.objective import Objective
from everlong.train.optim import make_optimizer, set_rate


@final
@dataclass(frozen=True, kw_only=True)
class Update:
    """What an update computed."""

    loss: float
    """Nats per target over all ranks, before the step."""
    targets: float
    """Targets of all ranks."""
    tokens: float
    """Tokens, or vectors, that all ranks read, padding left out."""
    aux: dict[str, float]
    """Losses of the memory itself, mean over chunks."""
    gradient_norm: float
    """Of all gradients together, before clipping."""
    memory: Memory | None
    """What the next window begins with."""
    diagnosis: Mapping[str, float] = field(default_factory=dict[str, float])
    """What was found out about the optimisation, where that was asked for (everlong.train.diagnosis)."""

    def figures(self) -> dict[str, float]:
        """What the metrics file keeps of it, besides the loss."""
        aux = {f"aux_{name}": value for name, value in self.aux.items()}
        return {"gradient_norm": self.gradient_norm, **aux, **self.diagnosis}


@final
class Learner:
    """A model, its optimiser, and how they step.

    Raises:
        ConfigError: gradients are to be clipped by source on several ranks.
    """

    def __init__(self, objective: Objective[Any], config: TrainConfig, world: World) -> None:
        if config.clip_aux and (world.size > 1 or config.fsdp):
            raise ConfigError(
                f"clip_aux={config.clip_aux:g} keeps gradients apart that ranks only share together. "
                "Train in one process, or leave clip_aux at 0."
            )
        self.objective, self.config, self.world = objective, config, world
        self.model: Model = objective.model
        self.model.recompute = config.recompute
        self.module = distribute(objective, world=world, fsdp=config.fsdp)
        self.optimizer = make_optimizer(self.model, lr=config.lr, weight_decay=config.weight_decay)
        self.scaler = torch.amp.GradScaler(self.model.device.type, enabled=config.precision == "float16")

    def update(
        self,
        windows: Sequence[Sequence[Batch]],
        memory: Memory | None,
        *,
        dropout: MemoryDropout,
        rate: float,
        step: int,
    ) -> Update:
        """Step once along the gradient of the mean loss of all windows of all ranks.

        The batches are on the CPU, where their targets are counted without waiting for a GPU.

        Raises:
            Diverged: the loss or a gradient is not finite; the weights are as they were.
        """
        set_rate(self.optimizer, rate)
        self.optimizer.zero_grad(set_to_none=True)
        count, tokens = self.world.sum(
            sum(batch.n_targets for window in windows for batch in window),
            sum(batch.n_tokens for window in windows for batch in window),
        )
        chunks = sum(len(window) for window in windows)
        nats: list[Tensor] = []
        aux: dict[str, Tensor] = {}
        apart: list[Sequence[Tensor | None]] = []
        weights = [p for p in self.model.parameters() if p.requires_grad]
        for n, window in enumerate(windows):
            if memory is not None:
                memory = dropout(memory)
            with last_of_update(self.module, last=n == len(windows) - 1):
                summed, memory, others = self.module([batch.to(self.model.device) for batch in window], memory)
                # Ranks' gradients are averaged, and a sum is wanted: `count` covers all ranks already.
                loss = summed * (self.world.size / max(1.0, count))
                own = sum(others.values(), start=torch.zeros_like(loss)) / chunks
                if self.config.clip_aux and others:
                    apart.append(torch.autograd.grad(own, weights, retain_graph=True, allow_unused=True))
                else:
                    loss = loss + own
                self.scaler.scale(loss).backward()
            nats.append(summed.detach())
            aux = {name: aux.get(name, 0.0) + value.detach() / chunks for name, value in others.items()}
        self.scaler.unscale_(self.optimizer)
        if apart:
            add_clipped(weights, apart, limit=self.config.clip_aux)
        norm = clip_gradients(self.model, limit=self.config.clip)
        total, *means = self.world.sum(float(torch.stack(nats).sum()), *(float(value) for value in aux.values()))
        found = Update(
            loss=total / max(1.0, count),
            targets=count,
            tokens=tokens,
            aux={name: mean / self.world.size for name, mean in zip(aux, means, strict=True)},
            gradient_norm=norm,
            memory=memory,
        )
        self._require_finite(found, step=step)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return found

    def release(self) -> None:
        """Let go of the wrapper that joins the ranks, so that nothing holds their process group when it is ended."""
        self.module = self.objective

    def _require_finite(self, found: Update, *, step: int) -> None:
        # Half precision's scaled gradients overflow now and then; the scaler leaves such a step out.
        norm_matters = not self.scaler.is_enabled()
        if math.isfinite(found.loss) and (math.isfinite(found.gradient_norm) or not norm_matters):
            return
        what = "gradient" if math.isfinite(found.loss) else "loss"
        raise Diverged(
            f"the {what} is not a finite number at step {step + 1}. The last checkpoint is kept. Begin in another "
            f"folder with a lower lr (it is {self.config.lr:g}), a longer warmup (it is {self.config.warmup}) or a "
            f"smaller clip (it is {self.config.clip:g})."
        )


def clip_gradients(model: nn.Module, *, limit: float) -> float:
    """The norm of all gradients together, which are scaled down to `limit` where it is larger; 0 is no limit."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    if isinstance(norm, DTensor):
        norm = norm.full_tensor()
    if limit:
        torch.nn.utils.clip_grads_with_norm_(model.parameters(), limit, norm)
    return float(norm)


def add_clipped(weights: Sequence[nn.Parameter], parts: Sequence[Sequence[Tensor | None]], *, limit: float) -> None:
    """Add up gradients of one source, scale them down to `limit` where their norm is larger, and add them to others'.

    Each of `parts` has a gradient, or none, for every weight.
    """
    sums: dict[int, Tensor] = {}
    for gradients in parts:
        for n, gradient in enumerate(gradients):
            if gradient is not None:
                sums[n] = sums[n] + gradient if n in sums else gradient
    norm = torch.nn.utils.get_total_norm(list(sums.values()))
    scale = (limit / (norm + 1e-6)).clamp(max=1.0)
    for n, gradient in sums.items():
        weight = weights[n]
        weight.grad = scale * gradient if weight.grad is None else weight.grad + scale * gradient
