"""What a run tells while it goes on, and at its end."""

import dataclasses
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

from everlong.train.config import TrainConfig

Ending = Literal["steps", "minutes", "patience", "interrupted"]


@final
@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run stands after an update."""

    step: int
    steps: int
    """Updates in all; 0 where only time limits the run."""
    loss: float
    """Nats per token of this update."""
    bits_per_byte: float
    """The loss in bits, per byte of the training text."""
    tokens_per_second: float
    """Speed of the last updates, all ranks together."""
    memory_bytes: int
    """Size of the carried memory of all lanes. It never changes."""
    seconds: float
    """Time since the run began, interruptions not counted."""
    seconds_left: float
    learning_rate: float
    valid_bits_per_byte: float | None = None
    """Measured after this update, or not."""
    saved: Path | None = None
    """The checkpoint written after this update."""

    def figures(self) -> dict[str, float | int]:
        """What the metrics file keeps of it."""
        kept = ("step", "loss", "bits_per_byte", "learning_rate", "tokens_per_second", "seconds", "valid_bits_per_byte")
        return {name: value for name in kept if (value := getattr(self, name)) is not None}

    def with_saved(self, checkpoint: Path) -> "Progress":
        """The same, with the checkpoint that was written."""
        return dataclasses.replace(self, saved=checkpoint)


@final
@dataclass(frozen=True, kw_only=True)
class Result:
    """How a run ended."""

    step: int
    seconds: float
    loss: float | None
    """Nats per token of the last update; None where no update was left to do."""
    best_bits_per_byte: float | None
    """The best measurement on the validation text."""
    best_step: int | None
    ending: Ending
    checkpoint: Path
    """The newest checkpoint, which holds the state after the last update."""

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the run; it can be resumed."""
        return self.ending == "interrupted"


@final
class Stopwatch:
    """Seconds of a run over all its sessions, and the pace of its last updates."""

    def __init__(self, before: float) -> None:
        self._began = time.monotonic() - before
        self._marks: deque[tuple[float, int]] = deque(maxlen=20)

    def seconds(self) -> float:
        """Time since the run began, interruptions not counted."""
        return time.monotonic() - self._began

    def mark(self, *, tokens: int, since: float) -> None:
        """Count an update of so many tokens that began at `since`."""
        self._marks.append((self.seconds() - since, tokens))

    def tokens_per_second(self) -> float:
        """Speed of the last updates."""
        return sum(tokens for _, tokens in self._marks) / max(1e-9, sum(seconds for seconds, _ in self._marks))


def seconds_left(config: TrainConfig, *, step: int, first: int, seconds: float, before: float) -> float:
    """Time to the end at this session's pace, which began after `first` updates and `before` seconds."""
    limits: list[float] = []
    if config.steps:
        limits.append((config.steps - step) * (seconds - before) / max(1, step - first))
    if config.minutes:
        limits.append(60 * config.minutes - seconds)
    return max(0.0, min(limits))
