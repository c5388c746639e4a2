"""Checkpoints: folders that are whole or absent, and that notice when a byte has changed.

    checkpoints/step-00000100/
        model.safetensors        weights, each once
        optimizer.safetensors    parameter/quantity
        lanes.safetensors        the carried memory of every lane
        random.safetensors       states of the random generators
        state.json               step, data cursor, best measurement, seconds
        manifest.json            SHA-256 of each of the above

A folder is written under a temporary name, synced, and renamed. Nothing is ever unpickled.
"""

import hashlib
import json
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, cast, final

from torch import Tensor, nn

from everlong.errors import DamagedFile
from everlong.storage import disk_errors, read_bytes, read_tensors, sync_folder, write_tensors, write_whole

FORMAT = "everlong-checkpoint-1"
CONFIG, CHECKPOINTS = "config.json", "checkpoints"
STATE, MANIFEST = "state.json", "manifest.json"
PREFIX = "step-"


class DamagedCheckpointWarning(UserWarning):
    """A checkpoint is damaged, and an older one is used instead."""


@final
@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint whose files match their checksums."""

    folder: Path
    state: Mapping[str, Any]

    @property
    def step(self) -> int:
        """Updates done when it was saved."""
        return self.state["step"]

    @property
    def best_step(self) -> int | None:
        """The step of the best measurement so far, which has a checkpoint too."""
        return self.state["best_step"]

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The tensors of one of its files (``model``, ``optimizer``, ``lanes``, ``random``).

        Raises:
            DamagedFile: the file is missing, truncated or altered.
        """
        return read_tensors(self.folder / f"{name}.safetensors")[0]


def save_checkpoint(
    run: Path, *, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any], keep: int
) -> Path:
    """Write a checkpoint of ``state["step"]``, then remove all but the newest `keep` and the best one.

    Raises:
        RunError: the disk is full, or the place may not be written to; earlier checkpoints are as they were.
    """
    home = run / CHECKPOINTS
    final_name = home / f"{PREFIX}{state['step']:08d}"
    part = home / f".{final_name.name}.part"
    with disk_errors(final_name):
        home.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
    try:
        for name, group in tensors.items():
            write_tensors(part / f"{name}.safetensors", group, {"format": FORMAT, "file": name})
        write_whole(part / STATE, _json({"format": FORMAT, **state}))
        files = {path.name: _sha256(path) for path in sorted(part.iterdir())}
        write_whole(part / MANIFEST, _json({"format": FORMAT, "sha256": files}))
        with disk_errors(final_name):
            _remove(final_name)
            part.rename(final_name)
            sync_folder(home)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    _prune(home, keep=keep, best=state["best_step"])
    return final_name


def list_checkpoints(run: Path) -> list[Path]:
    """The folders of all checkpoints of a run, oldest first; they may be damaged."""
    return sorted(path for path in (run / CHECKPOINTS).glob(f"{PREFIX}*") if path.is_dir())


def read_checkpoint(folder: Path) -> Checkpoint:
    """A checkpoint, all of its files checked.

    Raises:
        DamagedFile: a file is missing, truncated or altered.
    """
    manifest = _read_json(folder / MANIFEST)
    files = manifest.get("sha256")
    if manifest.get("format") != FORMAT or not isinstance(files, dict) or STATE not in files:
        raise DamagedFile(
            f"{folder / MANIFEST} does not describe a checkpoint of this version of Everlong. Use another copy of it."
        )
    for name, stated in cast("dict[str, str]", files).items():
        if not (folder / name).is_file():
            raise DamagedFile(f"{folder / name} is missing. Use another copy of the checkpoint.")
        if _sha256(folder / name) != stated:
            raise DamagedFile(
                f"{folder / name} is damaged: its contents do not match their checksum. "
                "Use another copy of the checkpoint."
            )
    return Checkpoint(folder=folder, state=_read_json(folder / STATE))


def newest_good_checkpoint(run: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole, with a warning for each newer one; None where there are none at all.

    Raises:
        DamagedFile: there are checkpoints, and every one is damaged.
    """
    damage: DamagedFile | None = None
    for folder in reversed(list_checkpoints(run)):
        try:
            return read_checkpoint(folder)
        except DamagedFile as error:
            damage = error
            warnings.warn(f"{error} The checkpoint before it is used instead.", DamagedCheckpointWarning, stacklevel=2)
    if damage is not None:
        raise DamagedFile(f"no checkpoint in {run} is whole; the oldest one: {damage}")
    return None


def best_good_checkpoint(run: Path) -> Checkpoint | None:
    """The checkpoint of the best measurement; the newest whole one where nothing was measured or the best is damaged.

    Raises:
        DamagedFile: there are checkpoints, and every one is damaged.
    """
    newest = newest_good_checkpoint(run)
    if newest is None or newest.best_step in (None, newest.step):
        return newest
    try:
        return read_checkpoint(run / CHECKPOINTS / f"{PREFIX}{newest.best_step:08d}")
    except DamagedFile as error:
        warnings.warn(f"{error} The newest checkpoint is used instead.", DamagedCheckpointWarning, stacklevel=2)
        return newest


def tensor_names(model: nn.Module) -> dict[str, str]:
    """For every name in the state dict, the first name of the same tensor (tied weights have several)."""
    first: dict[int, str] = {}
    tensors = chain(model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False))
    names = {name: first.setdefault(id(tensor), name) for name, tensor in tensors}
    return {name: names[name] for name in model.state_dict()}


def untie(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict with each tensor under its first name only, as files hold it."""
    return {name: state[name] for name, first in tensor_names(model).items() if name == first}


def tie(model: nn.Module, tensors: Mapping[str, Tensor], *, source: Path) -> dict[str, Tensor]:
    """The state dict of the model from tensors under their first names.

    Raises:
        DamagedFile: the tensors are not those of this model.
    """
    names = tensor_names(model)
    wanted = {
        first: tuple(tensor.shape) for name, tensor in model.state_dict().items() if name == (first := names[name])
    }
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted({**wanted, **found}):
        if wanted.get(name) != found.get(name):
            raise DamagedFile(
                f"{source} has {name} of shape {found.get(name)}, the model has {wanted.get(name)}. "
                "Use the config.json that this checkpoint was made with."
            )
    return {name: tensors[first] for name, first in names.items()}


def _prune(home: Path, *, keep: int, best: int | None) -> None:
    folders = list_checkpoints(home.parent)
    needed = {folder.name for folder in folders[-keep:]} | {f"{PREFIX}{best or 0:08d}" if best is not None else ""}
    with disk_errors(home):
        for folder in folders:
            if folder.name not in needed:
                _remove(folder)
        for stale in home.glob(f".{PREFIX}*"):
            shutil.rmtree(stale, ignore_errors=True)


def _remove(folder: Path) -> None:
    """Take a checkpoint away in one step, so that a crash leaves no half of it under its name."""
    if folder.exists():
        gone = folder.with_name(f".{folder.name}.gone")
        folder.rename(gone)
        shutil.rmtree(gone)


def _json(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, indent=1).encode() + b"\n"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        fields: object = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"{path} is truncated or not JSON ({error}). Use another copy of it.") from error
    if not isinstance(fields, dict):
        raise DamagedFile(f"{path} is not an object of JSON. Use another copy of it.")
    return cast("dict[str, Any]", fields)


def _sha256(path: Path) -> str:
    with disk_errors(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
