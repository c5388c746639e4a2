"""Tensor files that are whole or absent, and that notice when a byte has changed.

safetensors itself loads a file with a flipped byte without complaint, so each file carries a SHA-256 of everything it
says: its header fields and every tensor's name, type, shape and bytes. Files are written beside their final name,
synced and renamed; a crash or a full disk leaves the previous file as it was.
"""

import errno
import hashlib
import json
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from everlong.errors import DamagedFile, RunError

SEAL = "sha256"


@contextmanager
def disk_errors(path: Path) -> Generator[None]:
    """Turn a full disk or a forbidden folder into one sentence with a remedy.

    Raises:
        RunError: the disk is full, or the place may not be written to.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunError(
                f"the disk is full: {path} was not written and existing files are as they were. "
                "Free some space or choose another folder, then run the same command again."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENOENT):
            raise RunError(f"cannot write {path}: {error.strerror}. Choose a place you may write to.") from error
        raise


def require_place(path: Path) -> None:
    """Make sure that a file can have this name, before work is done that would be lost if it could not.

    Raises:
        RunError: a folder has the name, or the place may not be written to.
    """
    with disk_errors(path):
        (path.parent / "..").stat()  # says what is wrong with the parent, be it a file
    if path.is_dir():
        raise RunError(f"cannot write {path}: Is a directory. Give the name of a file.")
    if not os.access(path.parent, os.W_OK):
        raise RunError(f"cannot write {path}: Permission denied. Choose a place you may write to.")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part.

    Raises:
        RunError: the disk is full, or the place may not be written to.
    """
    require_place(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with disk_errors(path):
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            sync_folder(path.parent)
        finally:
            part.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a rename in this folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """Write tensors and header fields as one sealed safetensors file.

    Raises:
        RunError: the disk is full, or the place may not be written to.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_whole(path, save(plain, {**header, SEAL: seal(plain, header)}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the header fields of a sealed file.

    Raises:
        DamagedFile: the file is missing, truncated or altered, or was never sealed.
    """
    data = read_bytes(path)
    try:
        tensors = load(data)
        length = int.from_bytes(data[:8], "little")
        header: dict[str, str] = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    except (SafetensorError, ValueError) as error:
        raise DamagedFile(f"{path} is truncated or not a tensor file ({error}). Use another copy of it.") from error
    stated = header.pop(SEAL, None)
    if stated is None:
        raise DamagedFile(f"{path} has no seal, so Everlong did not write it. Give a file that Everlong saved.")
    if stated != seal(tensors, header):
        raise DamagedFile(f"{path} is damaged: its contents do not match their checksum. Use another copy of it.")
    return tensors, header


def read_bytes(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        DamagedFile: there is no such file, or it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DamagedFile(f"cannot read {path}: {error.strerror}. Check the path.") from error


def seal(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> str:
    """SHA-256 over header fields and tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(header):
        digest.update(json.dumps([name, header[name]]).encode())
    add_tensors(digest.update, tensors)
    return digest.hexdigest()


def add_tensors(update: Callable[[bytes], object], tensors: Mapping[str, Tensor]) -> None:
    """Feed names, types, shapes and bytes of tensors to a hash, in the order of their names."""
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
