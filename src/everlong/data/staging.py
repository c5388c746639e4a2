"""A folder that is whole or absent, however its writer ends."""

import errno
import fcntl
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from everlong.errors import RunError
from everlong.storage import disk_errors, sync_folder


@contextmanager
def staged_folder(folder: Path) -> Generator[Path, None, None]:
    """A hidden folder beside ``folder`` to write into; it takes the name ``folder`` when the block ends well.

    Its files are synced before the rename. When the block fails, it is removed; what a killed process left is removed
    by the next one. ``folder`` may exist if it is empty.

    Raises:
        RunError: ``folder`` has something in it, another process is writing it, or the disk is full or not writable.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 - resolve() would follow a link at the end
    with disk_errors(folder):
        _refuse_if_in_use(folder)
        part = folder.with_name(f".{folder.name}.part")
        part.mkdir(parents=True, exist_ok=True)
        with _owned(part):
            try:
                _empty(part)
                yield part
                _sync_files(part)
                _publish(part, folder)
            except BaseException:
                shutil.rmtree(part, ignore_errors=True)
                raise


def _publish(part: Path, folder: Path) -> None:
    _refuse_if_in_use(folder)
    part.replace(folder)
    sync_folder(folder.parent)


def _refuse_if_in_use(folder: Path) -> None:
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise RunError(
            f"{folder} is in use: there is something in it. Choose another folder, or remove this one first."
        )


@contextmanager
def _owned(part: Path) -> Generator[None, None, None]:
    """Hold a lock on the folder itself: it ends with the process, and leaves no file."""
    handle = os.open(part, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise RunError(f"another process is writing {part}. Wait until it is done, then run this again.") from error
        yield
    finally:
        os.close(handle)


def _empty(folder: Path) -> None:
    for leftover in folder.iterdir():
        leftover.unlink()


def _sync_files(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(folder)
