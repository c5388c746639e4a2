"""Reversible layers in two processes: every weight's gradient is averaged once, over all chunks of both ranks."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor

from everlong.train.distribution import World, distribute
from tests.unit.nn.test_reversible import WIDTH, Stack

RANKS = 2
pytestmark = pytest.mark.slow


def local_gradients(rank: int, net: torch.nn.Module, *, recompute: bool) -> None:
    torch.manual_seed(10 + rank)
    x = torch.randn(2, 9, WIDTH, dtype=torch.float64)
    out, _ = net(x, chunks=(4, 1, 4), recompute=recompute)
    out.sin().sum().backward()


def work(rank: int, folder: str, fsdp: bool) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=RANKS)
    torch.manual_seed(0)
    net, twin = Stack().double(), Stack().double()
    twin.load_state_dict(net.state_dict())
    for each in range(RANKS):
        local_gradients(each, twin, recompute=False)
    joined = distribute(net, world=World(rank, RANKS), fsdp=fsdp)
    for _ in range(2):
        net.zero_grad()
        local_gradients(rank, joined, recompute=True)
    for ours, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        found = ours.grad.full_tensor() if isinstance(ours.grad, DTensor) else ours.grad
        torch.testing.assert_close(found, theirs.grad / RANKS, rtol=0, atol=1e-12)
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.parametrize("fsdp", [False, True], ids=["ddp", "fsdp"])
def test_gradients_are_the_mean_over_ranks(tmp_path: Path, fsdp: bool) -> None:
    torch.multiprocessing.spawn(work, args=(str(tmp_path), fsdp), nprocs=RANKS)
