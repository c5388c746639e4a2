"""Several processes, one run: ranks own lanes, and everything they must agree on goes through `World`.

Each rank reads its own lanes and carries their memory; only gradients (and, with FSDP, weights) travel. As the lane is
dimension 0 of every memory, a checkpoint holds the ranks' memories one after another, and another number of ranks cuts
it anew.
"""

import json
import os
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, cast, final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.nn.parallel import DistributedDataParallel

from everlong import errors
from everlong.errors import ConfigError, EverlongError
from everlong.train.objective import Objective


@final
@dataclass(frozen=True)
class World:
    """The processes of a run, seen from one of them. A lone process is rank 0 of 1."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """Where tensors must be to travel."""

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which writes files and reports."""
        return self.rank == 0

    def sum(self, *values: float) -> list[float]:
        """Sums over all ranks, the same on each."""
        return self._reduce(values, dist.ReduceOp.SUM)

    def max(self, *values: float) -> list[float]:
        """Maxima over all ranks, the same on each."""
        return self._reduce(values, dist.ReduceOp.MAX)

    def on_main(self, action: Callable[[], str]) -> str:
        """What an action on rank 0 returns, on every rank. An error there is raised everywhere, so that none waits."""
        if self.size == 1:
            return action()
        failure: EverlongError | None = None
        answer = ""
        if self.is_main:
            try:
                answer = action()
            except EverlongError as error:
                failure = error
        kind, text = json.loads(
            self._share(json.dumps([type(failure).__name__, str(failure)] if failure else ["", answer]))
        )
        if failure is not None:
            raise failure
        if kind:
            raise getattr(errors, kind)(text)
        return text

    def gather(self, tensor: Tensor) -> Tensor:
        """All ranks' equal-shaped tensors, one after another along dimension 0, on every rank's CPU."""
        if self.size == 1:
            return tensor.detach().cpu()
        # Bytes travel on every backend, whatever the type; bool and uint64 do not.
        flat = tensor.detach().contiguous().reshape(-1).view(torch.uint8).to(self.device)
        parts = [torch.empty_like(flat) for _ in range(self.size)]
        dist.all_gather(parts, flat)
        return torch.cat([part.cpu().view(tensor.dtype).reshape(tensor.shape) for part in parts])

    def slice(self, tensor: Tensor) -> Tensor:
        """This rank's part of a tensor that `gather` made, maybe with another number of ranks."""
        part = tensor.shape[0] // self.size
        return tensor[self.rank * part : (self.rank + 1) * part]

    def _reduce(self, values: tuple[float, ...], operation: Any) -> list[float]:
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor, operation)
        return tensor.tolist()

    def _share(self, text: str) -> str:
        data = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
        length = torch.tensor([data.numel()], device=self.device)
        dist.broadcast(length, 0)
        data = data.to(self.device) if self.is_main else torch.empty(int(length), dtype=torch.uint8, device=self.device)
        dist.broadcast(data, 0)
        return bytes(data.cpu().numpy()).decode()


@contextmanager
def join_world(device: torch.device) -> Generator[World]:
    """The processes that torchrun started, or this one alone. A group that exists already is used and left as it is."""
    if not dist.is_initialized() and not dist.is_torchelastic_launched():
        yield World()
        return
    began = not dist.is_initialized()
    if began:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        travel = device if dist.get_backend() == "nccl" else torch.device("cpu")
        yield World(dist.get_rank(), dist.get_world_size(), travel)
        # A rank that leaves early closes connections on which others still wait.
        dist.barrier()
    finally:
        if began:
            # A thread of gloo frees the last tensors exchanged under Python's lock. A process that ends before aborts.
            time.sleep(0.2)
            dist.destroy_process_group()


def rank_device() -> torch.device:
    """The GPU of this rank where there are GPUs, else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def distribute(objective: Objective[Any], *, world: World, fsdp: bool) -> nn.Module:
    """The module whose backward pass averages gradients over ranks: sharded, copied, or as it is.

    Raises:
        ConfigError: sharding was asked of a process that torchrun did not start.
    """
    if fsdp:
        if not dist.is_initialized():
            raise ConfigError(
                "fsdp=True shares the model among ranks, and there are none. "
                "Start the run with torchrun --nproc-per-node N -m everlong train, or leave fsdp at False."
            )
        return shard(objective)
    if world.size > 1:
        return DistributedDataParallel(objective, find_unused_parameters=objective.model.idle_weights)
    return objective


def shard(objective: Objective[Any]) -> Objective[Any]:
    """FSDP2 over every layer of a stack, and over the rest together; all begin with rank 0's weights."""
    for tensor in objective.state_dict().values():
        dist.broadcast(tensor, 0)
    stacks = [m for m in objective.modules() if isinstance(m, nn.ModuleList)]
    for layer in (layer for stack in stacks for layer in stack if _is_block(layer)):
        layer.register_forward_hook(_own)
        fully_shard(layer)
    fully_shard(objective)
    for name in objective.entrances:
        register_fsdp_forward_method(objective, name)
    return objective


def _own(layer: nn.Module, arguments: Any, output: Any) -> Any:
    """Copies of a layer's results. A view written to in place would lose the hook that fetches the layer's weights."""
    if isinstance(output, tuple):
        parts = [_own(layer, arguments, part) for part in cast("tuple[Any, ...]", output)]
        named = getattr(cast("Any", output), "_make", tuple)
        return named(parts)
    return output.clone() if isinstance(output, Tensor) else output


def _is_block(layer: nn.Module) -> bool:
    """Whether a layer is called as one; tables whose weights others read directly are not."""
    return any(True for _ in layer.children())


@contextmanager
def last_of_update(module: nn.Module, *, last: bool) -> Generator[None]:
    """Average gradients in the backward passes inside the block only if they are the last of an update."""
    if isinstance(module, FSDPModule):
        module.set_requires_gradient_sync(last)
    silent = isinstance(module, DistributedDataParallel) and not last
    with module.no_sync() if silent else nullcontext():  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
        yield


def gather_lanes(world: World, leaves: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The memory of all lanes of all ranks, in the order of the lanes."""
    return {name: world.gather(leaf) for name, leaf in leaves.items()}
