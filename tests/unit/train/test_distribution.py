"""What one process can see of a world; several processes are in test_processes.py."""

from collections.abc import Generator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from everlong.errors import RunError
from everlong.train.distribution import World, distribute, join_world, last_of_update, rank_device
from tests.unit.train.conftest import OWN, SIZES, Bench, settings, tiny

CPU = torch.device("cpu")


@pytest.fixture
def group(tmp_path: Path) -> Generator[None]:
    """A process group of this process alone."""
    dist.init_process_group("gloo", store=dist.FileStore(str(tmp_path / "group"), 1), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_a_lone_process_agrees_with_itself() -> None:
    with join_world(CPU) as world:
        assert (world.rank, world.size, world.is_main) == (0, 1, True)
        assert world.sum(1.0, 2.0) == world.max(1.0, 2.0) == [1.0, 2.0]
        assert world.on_main(lambda: "done") == "done"
        assert torch.equal(world.gather(torch.arange(3)), torch.arange(3))


def test_an_error_of_rank_0_is_raised() -> None:
    def fail() -> str:
        raise RunError("no. Do this instead.")

    with pytest.raises(RunError, match="Do this instead"):
        World().on_main(fail)


def test_each_rank_has_its_slice() -> None:
    lanes = torch.arange(6)
    assert [World(rank, 3).slice(lanes).tolist() for rank in range(3)] == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.usefixtures("group")
def test_a_group_that_exists_is_used_and_left() -> None:
    with join_world(CPU) as world:
        assert (world.rank, world.size) == (0, 1)
    assert dist.is_initialized()


def test_alone_a_module_is_not_wrapped() -> None:
    module = torch.nn.Linear(1, 1)
    assert distribute(module, world=World(), fsdp=False) is module
    with last_of_update(module, last=False):
        pass


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_a_rank_computes_on_the_cpu() -> None:
    assert rank_device() == CPU


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize("architecture", SIZES)
def test_a_sharded_model_learns_what_a_plain_one_does(bench: Bench, architecture: str) -> None:
    config = settings(window=2, accumulate=2, eval_every=2, save_every=2, **OWN.get(architecture, {}))
    plain = bench.train("plain", config, model=tiny(architecture, dropout=0.0), measured=True)
    sharded = bench.train("sharded", config.replace(fsdp=True), model=tiny(architecture, dropout=0.0), measured=True)
    assert sharded.loss == pytest.approx(plain.loss, rel=1e-6)
    assert sharded.best_bits == pytest.approx(plain.best_bits, rel=1e-6)
    # Either goes on from the other's checkpoint.
    longer = config.replace(steps=6)
    one = bench.train("plain", longer.replace(fsdp=True), model=tiny(architecture, dropout=0.0), resume=True)
    two = bench.train("sharded", longer, model=tiny(architecture, dropout=0.0), resume=True)
    assert one.loss == pytest.approx(two.loss, rel=1e-6)
