"""Training in processes of their own: killed for real, and several ranks at once."""

import json
import random
import signal
import subprocess
import sys
from typing import Any

import pytest
import torch

from everlong.checkpoint import newest_good_checkpoint
from tests.unit.train.conftest import Bench, figures, settings

CONFIG = {
    "steps": 6, "lanes": 4, "chunk": 4, "window": 2, "accumulate": 2, "eval_every": 3, "save_every": 1, "lr": 1e-2
}  # fmt: skip
pytestmark = pytest.mark.slow


def command(
    bench: Bench,
    out: str,
    *,
    ranks: int = 0,
    architecture: str = "transformer-xl",
    model: dict[str, Any] | None = None,
    resume: bool = False,
    pause: float = 0.0,
    **changes: Any,
) -> list[str]:
    config = settings(**CONFIG | changes).model_dump()
    job = {
        "architecture": architecture, "model": model or {}, "config": config, "resume": resume, "pause": pause,
        "data": str(bench.data.folder), "valid": str(bench.valid.folder), "out": str(bench.folder / out),
    }  # fmt: skip
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)] if ranks else []
    return [sys.executable, *launcher, "-m", "tests.unit.train.worker", json.dumps(job)]


def run(bench: Bench, out: str, *, code: int = 0, **job: Any) -> str:
    done = subprocess.run(command(bench, out, **job), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr


def weights(bench: Bench, out: str) -> dict[str, torch.Tensor]:
    found = newest_good_checkpoint(bench.folder / out)
    assert found is not None
    return found.tensors("model")


def assert_same_curve(bench: Bench, one: str, two: str) -> None:
    first, second = figures(bench.folder / one), figures(bench.folder / two)
    assert len(first) == len(second) == 6
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        assert a == pytest.approx(b, rel=1e-5)


def test_a_run_killed_at_any_moment_goes_on_bit_for_bit(bench: Bench) -> None:
    run(bench, "whole")
    chance = random.Random(0)
    for attempt in range(20):
        job = command(bench, "killed", resume=attempt > 0, pause=0.02)
        process = subprocess.Popen(job, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(chance.randint(1, 2)):
            process.stdout.readline()
        try:
            # Anywhere in the update or in the checkpoint that follows.
            process.wait(timeout=chance.random() * 0.05)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        code = process.wait()
        process.stdout.close()
        if code == 0:
            break
    assert attempt > 1
    assert code == 0
    assert figures(bench.folder / "killed") == figures(bench.folder / "whole")
    one, two = weights(bench, "whole"), weights(bench, "killed")
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_ctrl_c_ends_a_process_saved(bench: Bench) -> None:
    process = subprocess.Popen(command(bench, "run", pause=0.2), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    process.stdout.close()
    found = newest_good_checkpoint(bench.folder / "run")
    assert found is not None
    assert found.step in (1, 2)


def test_a_folder_in_use_is_refused_by_the_other_processs_number(bench: Bench) -> None:
    process = subprocess.Popen(command(bench, "run", pause=9.0), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        assert f"run is in use by process {process.pid}." in run(bench, "run", code=2, resume=True)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    run(bench, "run", resume=True)


@pytest.mark.parametrize("fsdp", [False, True])
@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        ("transformer-xl", {}),
        ("lstm", {"memory_dropout": 0.0}),
        ("lstm", {"long_weight": 5.0, "favour": 2.0, "mix": (0.9, 0.3), "lanes": 2}),
        ("transformer-xl", {"long_weight": 5.0}),
        ("compressive-transformer", {}),
        ("gru-with-aux", {"recompute": True}),
        ("longformer", {}),
        ("ntm", {"recompute": True}),
        ("dnc", {}),
        ("mann", {}),
        ("reformer", {}),
        ("sparse-transformer", {}),
        ("transformer", {"recompute": True}),
        ("bert", {"task": "mlm"}),
        ("longformer-encoder", {"task": "mlm"}),
    ],
)
def test_two_ranks_learn_what_one_learns(
    bench: Bench, architecture: str, changes: dict[str, Any], *, fsdp: bool
) -> None:
    model = {"dropout": 0.0}
    run(bench, "one", architecture=architecture, model=model, **changes)
    run(bench, "two", architecture=architecture, model=model, ranks=2, fsdp=fsdp, **changes)
    assert_same_curve(bench, "one", "two")
    one, two = weights(bench, "one"), weights(bench, "two")
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("fsdp", [False, True])
def test_a_run_moves_from_two_ranks_to_one_and_back(bench: Bench, *, fsdp: bool) -> None:
    model = {"dropout": 0.0}
    run(bench, "moved", model=model, ranks=2, fsdp=fsdp, steps=2)
    run(bench, "moved", model=model, steps=4, resume=True)
    run(bench, "moved", model=model, ranks=2, fsdp=fsdp, steps=6, resume=True)
    # The schedule follows `steps`, so the run to compare with gets the same three ends.
    run(bench, "same", model=model, steps=2)
    run(bench, "same", model=model, steps=4, resume=True)
    run(bench, "same", model=model, steps=6, resume=True)
    assert_same_curve(bench, "same", "moved")
    one, two = (newest_good_checkpoint(bench.folder / name) for name in ("same", "moved"))
    assert one is not None
    assert two is not None
    for name in ("model", "optimizer", "lanes"):
        expected, found = one.tensors(name), two.tensors(name)
        assert expected.keys() == found.keys()
        for key in expected:
            torch.testing.assert_close(found[key], expected[key], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("fsdp", [False, True])
def test_two_ranks_resume_bit_for_bit_with_dropout(bench: Bench, *, fsdp: bool) -> None:
    changes = {"ranks": 2, "fsdp": fsdp, "memory_dropout": 0.5, "min_lr_ratio": 1.0, "architecture": "gru"}
    run(bench, "whole", **changes)
    run(bench, "halves", steps=3, **changes)
    run(bench, "halves", resume=True, **changes)
    one, two = weights(bench, "whole"), weights(bench, "halves")
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_what_fails_on_rank_0_fails_everywhere(bench: Bench) -> None:
    (bench.folder / "run").mkdir()
    (bench.folder / "run" / "thesis.txt").write_text("mine")
    said = run(bench, "run", ranks=2, code=1)
    assert said.count("RunError") == 2
    assert "is not empty: it holds 'thesis.txt'" in said


def test_ctrl_c_on_one_rank_stops_all_at_the_same_update(bench: Bench) -> None:
    job = command(bench, "run", ranks=2, pause=0.3, steps=30)
    process = subprocess.Popen(job, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.wait(timeout=90)
    process.stdout.close()
    process.stderr.close()
    found = newest_good_checkpoint(bench.folder / "run")
    assert found is not None
    assert found.state["ranks"] == 2
    assert 0 < found.step < 30
    run(bench, "run", resume=True, steps=found.step + 1)
