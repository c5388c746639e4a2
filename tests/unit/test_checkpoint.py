import errno
import json
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from everlong import storage
from everlong.checkpoint import (
    DamagedCheckpointWarning,
    best_good_checkpoint,
    list_checkpoints,
    newest_good_checkpoint,
    read_checkpoint,
    save_checkpoint,
    tensor_names,
    tie,
    untie,
)
from everlong.errors import DamagedFile, RunError


def save(run: Path, step: int, *, best: int | None = None, keep: int = 9) -> Path:
    tensors = {"model": {"w": torch.full((3,), float(step))}, "lanes": {"position": torch.arange(2)}}
    return save_checkpoint(run, tensors=tensors, state={"step": step, "best_step": best}, keep=keep)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def steps(run: Path) -> list[int]:
    return [int(path.name[5:]) for path in list_checkpoints(run)]


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    folder = save(tmp_path, 7, best=3)
    found = read_checkpoint(folder)
    assert (found.step, found.best_step, found.folder.name) == (7, 3, "step-00000007")
    assert torch.equal(found.tensors("model")["w"], torch.full((3,), 7.0))
    assert sorted(path.name for path in folder.iterdir()) == [
        "lanes.safetensors",
        "manifest.json",
        "model.safetensors",
        "state.json",
    ]


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    save(tmp_path, 7, best=3)
    save(tmp_path, 7, best=5)
    assert steps(tmp_path) == [7]
    assert read_checkpoint(list_checkpoints(tmp_path)[0]).best_step == 5


def test_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    for step in range(6):
        save(tmp_path, step, best=1 if step else None, keep=2)
    assert steps(tmp_path) == [1, 4, 5]


def test_what_a_crash_left_behind_is_removed(tmp_path: Path) -> None:
    home = tmp_path / "checkpoints"
    (home / ".step-00000003.part").mkdir(parents=True)
    (home / ".step-00000001.gone").mkdir()
    (home / ".step-00000004.part").mkdir()
    assert newest_good_checkpoint(tmp_path) is None
    save(tmp_path, 4)
    assert [path.name for path in home.iterdir()] == ["step-00000004"]


def test_where_nothing_was_saved_there_is_nothing(tmp_path: Path) -> None:
    assert newest_good_checkpoint(tmp_path) is None
    assert best_good_checkpoint(tmp_path) is None


@pytest.mark.parametrize("name", ["model.safetensors", "lanes.safetensors", "state.json"])
def test_a_flipped_byte_is_named_and_the_one_before_used(tmp_path: Path, name: str) -> None:
    save(tmp_path, 1)
    flip(save(tmp_path, 2) / name)
    expected = rf"step-00000002/{name} is damaged.*The checkpoint before it is used instead"
    with pytest.warns(DamagedCheckpointWarning, match=expected):
        found = newest_good_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda folder: (folder / "manifest.json").unlink(), "cannot read .*manifest.json: No such file"),
        (lambda folder: (folder / "manifest.json").write_text('{"sha'), "manifest.json is truncated or not JSON"),
        (lambda folder: (folder / "manifest.json").write_text("[1]"), "manifest.json is not an object of JSON"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "does not describe a checkpoint of this version"),
        (lambda folder: os.truncate(folder / "lanes.safetensors", 20), "lanes.safetensors is damaged"),
    ],
)
def test_each_kind_of_damage_is_named(tmp_path: Path, change: Any, message: str) -> None:
    folder = save(tmp_path, 1)
    change(folder)
    with pytest.raises(DamagedFile, match=message):
        read_checkpoint(folder)


def test_no_other_format_is_taken_for_ours(tmp_path: Path) -> None:
    folder = save(tmp_path, 1)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": "everlong-checkpoint-2"}))
    with pytest.raises(DamagedFile, match="not describe a checkpoint of this version"):
        read_checkpoint(folder)


def test_only_when_none_is_left_is_damage_an_error(tmp_path: Path) -> None:
    for step in (1, 2):
        flip(save(tmp_path, step) / "model.safetensors")
    with pytest.warns(DamagedCheckpointWarning), pytest.raises(DamagedFile, match=r"no checkpoint in .* is whole"):
        newest_good_checkpoint(tmp_path)


def test_the_best_is_preferred_to_use_and_the_newest_serves_where_it_is_damaged(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save(tmp_path, step, best=2 if step > 1 else None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = best_good_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 2
    flip(tmp_path / "checkpoints" / "step-00000002" / "model.safetensors")
    with pytest.warns(DamagedCheckpointWarning, match="The newest checkpoint is used instead"):
        found = best_good_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 3


@pytest.mark.parametrize("call", range(9))
def test_a_full_disk_leaves_earlier_checkpoints_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    save(tmp_path, 1)
    calls, fsync = 0, os.fsync

    def full(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls > call:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(RunError, match=r"the disk is full: .* existing files are as they were"):
        save(tmp_path, 2, keep=1)
    monkeypatch.undo()
    rubbish = [path.name for path in (tmp_path / "checkpoints").iterdir() if path.name.startswith(".")]
    assert rubbish == []
    assert read_checkpoint(tmp_path / "checkpoints" / "step-00000001").step == 1


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(2, 3), nn.Linear(2, 3)
        self.b.weight = self.a.weight
        self.register_buffer("kept", torch.ones(1))
        self.register_buffer("dropped", torch.ones(1), persistent=False)


def test_tied_weights_are_saved_once() -> None:
    model = Tied()
    saved = untie(model, model.state_dict())
    assert sorted(saved) == ["a.bias", "a.weight", "b.bias", "kept"]
    assert tensor_names(model)["b.weight"] == "a.weight"
    back: dict[str, Tensor] = tie(model, saved, source=Path("here"))
    assert back.keys() == model.state_dict().keys()
    Tied().load_state_dict(back)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a.bias": torch.ones(3)}, r"here has a.weight of shape None, the model has \(3, 2\)"),
        ({"a.weight": torch.ones(2, 2)}, r"a.bias of shape None, the model has \(3,\)"),
        ({"x": torch.ones(2)}, "config.json that this checkpoint was made with"),
    ],
)
def test_weights_of_another_model_are_refused(weights: dict[str, Tensor], message: str) -> None:
    with pytest.raises(DamagedFile, match=message):
        tie(Tied(), weights, source=Path("here"))
