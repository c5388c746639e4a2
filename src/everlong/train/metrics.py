"""A run's figures: one JSON object a line in ``metrics.jsonl``, and TensorBoard where asked for."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, final

from everlong.errors import ConfigError
from everlong.storage import disk_errors, write_whole
from everlong.train.distribution import World

METRICS = "metrics.jsonl"


def open_trackers(folder: Path, track: str, world: World, *, step: int) -> "list[Tracker]":
    """What takes the figures of a run that goes on after `step` updates: nothing, except on rank 0.

    Raises:
        ConfigError: TensorBoard is wanted and not installed.
        RunError: the disk is full.
    """
    if not world.is_main:
        return []
    lines = JsonLines(folder, step=step)
    return [lines, TensorBoard(folder, step=step)] if track == "tensorboard" else [lines]


class Tracker(Protocol):
    """Takes the figures of each update."""

    def write(self, figures: Mapping[str, float | int]) -> None:
        """Record the figures of the update ``figures["step"]``."""
        ...

    def close(self) -> None:
        """Write out what is still held back."""
        ...


@final
class JsonLines:
    """``metrics.jsonl``: a line is on disk before the next update begins.

    A resumed run goes on after its checkpoint's step. Later lines, which a killed run left behind, are removed, so the
    file reads like that of a run that was never stopped.
    """

    def __init__(self, folder: Path, *, step: int) -> None:
        self.path = folder / METRICS
        write_whole(self.path, b"".join(kept_lines(self.path, step=step)))
        with disk_errors(self.path):
            self._file = self.path.open("ab", buffering=0)

    def write(self, figures: Mapping[str, float | int]) -> None:
        """Append a line.

        Raises:
            RunError: the disk is full.
        """
        with disk_errors(self.path):
            # JSON has no infinity; the norm of overflowed half-precision gradients is one.
            known = {name: value if math.isfinite(value) else None for name, value in figures.items()}
            self._file.write(json.dumps(known).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def kept_lines(path: Path, *, step: int) -> list[bytes]:
    """The whole lines of a metrics file up to a step."""
    if not path.exists():
        return []
    kept: list[bytes] = []
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            if json.loads(line)["step"] > step or not line.endswith(b"\n"):
                break
        except (ValueError, KeyError, TypeError):
            break
        kept.append(line)
    return kept


@final
class TensorBoard:
    """The same figures as scalars in ``tensorboard/``.

    Raises:
        ConfigError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, *, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ConfigError(
                "track='tensorboard' needs TensorBoard, which is not installed. "
                "Run pip install \"everlong[track]\", or leave track at 'none'."
            ) from None
        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, figures: Mapping[str, float | int]) -> None:
        """Add a point to each curve."""
        for name, value in figures.items():
            if name != "step":
                self._writer.add_scalar(name, value, int(figures["step"]))

    def close(self) -> None:
        """Write out what is still held back."""
        self._writer.close()
