import os
from pathlib import Path
from typing import Any

import pytest

from everlong.checkpoint import CONFIG
from everlong.data.sealed import read_sealed, write_sealed
from everlong.errors import RunError
from everlong.train import TrainConfig
from everlong.train.folder import TRAIN, claimed, describe_run, require_same_run, require_usable
from everlong.train.task import Task
from everlong.train.tasks import make_task
from tests.unit.train.conftest import Bench, settings, tiny


def task_of(bench: Bench, config: TrainConfig | None = None, *, model: Any = None, data: Any = None) -> Task:
    return make_task(model or tiny(), data or bench.data, None, config or settings(), bench.tokenizer)


def test_settings_that_are_newer_than_a_run_have_their_defaults(bench: Bench) -> None:
    """A run of a version that knew no tasks goes on as what it was."""
    folder = bench.folder / "run"
    bench.train("run")
    written = read_sealed(folder / TRAIN)
    older = {name: value for name, value in dict(written["training"]).items() if name not in ("task", "mask_rate")}  # type: ignore[call-overload]
    write_sealed(folder / TRAIN, {**written, "training": older})
    require_same_run(folder, task_of(bench), settings())
    with pytest.raises(RunError, match=r"training setting mask_rate=0\.15, now it is 0\.3"):
        require_same_run(folder, task_of(bench), settings(mask_rate=0.3))


def test_fields_of_a_model_that_are_newer_than_a_run_have_their_defaults(bench: Bench) -> None:
    folder = bench.folder / "older"
    folder.mkdir()
    describe_run(folder, task_of(bench, model=tiny(dropout=0.0)), settings())
    written = read_sealed(folder / CONFIG)
    older = {name: value for name, value in dict(written["model"]).items() if name != "dropout"}  # type: ignore[call-overload]
    write_sealed(folder / CONFIG, {**written, "model": older})
    require_same_run(folder, task_of(bench, model=tiny(dropout=0.0)), settings())
    with pytest.raises(RunError, match=r"model setting dropout=0\.0, now it is 0\.5"):
        require_same_run(folder, task_of(bench, model=tiny(dropout=0.5)), settings())


def test_a_new_folder_is_made_and_kept_to_one_process(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "run"
    with claimed(folder, resume=False):
        message = f"{folder} is in use by process {os.getpid()}. Wait for it to end, or choose another folder"
        with pytest.raises(RunError, match=message), claimed(folder, resume=False):
            pass
        with pytest.raises(RunError, match="is in use by process"), claimed(folder, resume=True):
            pass
    with claimed(folder, resume=False):
        pass


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(RunError, match="run is a file, a run needs a folder"), claimed(tmp_path / "run", resume=False):
        pass


def test_what_belongs_to_others_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    message = r"is not empty: it holds 'thesis.txt', .* Choose a new folder"
    with pytest.raises(RunError, match=message), claimed(tmp_path, resume=False):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_run_is_not_begun_over(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "step-00000000").mkdir(parents=True)
    with pytest.raises(RunError, match=r"holds a run already\. Give --resume \(resume=True\)"):
        require_usable(tmp_path, resume=False)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "config.json").write_text("{}")
    require_usable(tmp_path, resume=False)
    require_usable(tmp_path, resume=True)


def test_there_must_be_something_to_resume(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"nowhere holds no run to resume\. Leave out --resume"):
        require_usable(tmp_path / "nowhere", resume=True)


def test_a_place_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    folder = tmp_path / "file" / "run"
    with pytest.raises(RunError, match="Choose a place you may write to"), claimed(folder, resume=False):
        pass


def test_the_same_run_may_go_on_with_other_limits(bench: Bench) -> None:
    describe_run(bench.folder, task_of(bench), settings())
    longer = settings(steps=99, minutes=3.0, save_every=7, eval_every=5, keep=9, recompute=True, patience=4)
    require_same_run(bench.folder, task_of(bench), longer)


def test_what_decides_the_result_may_not_change(bench: Bench) -> None:
    describe_run(bench.folder, task_of(bench), settings())
    with pytest.raises(RunError, match=r"training setting lr=0\.001, now it is 0\.5\. Resume with lr=0\.001, or begin"):
        require_same_run(bench.folder, task_of(bench), settings(lr=0.5))
    with pytest.raises(RunError, match=r"model setting d_model=8, now it is 16\. Resume with d_model=8"):
        require_same_run(bench.folder, task_of(bench, model=tiny(d_model=16)), settings())
    with pytest.raises(RunError, match="architecture setting architecture=gru, now it is lstm"):
        require_same_run(bench.folder, task_of(bench, model=tiny("lstm")), settings())
    with pytest.raises(RunError, match="data setting n_tokens="):
        require_same_run(bench.folder, task_of(bench, data=bench.valid), settings())
