"""What a run tells while it goes on, and at its end."""

import dataclasses
import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

from everlong.train.config import TrainConfig
from everlong.train.learner import Update
from everlong.train.task import BYTE, Measurement, Unit

Ending = Literal["steps", "minutes", "patience", "interrupted"]


@final
@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run stands after an update."""

    step: int
    steps: int
    """Updates in all; 0 where only time limits the run."""
    loss: float
    """Nats per target of this update."""
    bits: float
    """The loss in bits, per byte of the training text or other unit of the task."""
    tokens_per_second: float
    """Speed of the last updates, all ranks together."""
    memory_bytes: int
    """Size of the carried memory of all lanes. It never changes."""
    seconds: float
    """Time since the run began, interruptions not counted."""
    seconds_left: float
    learning_rate: float
    measured: Measurement | None = None
    """What was measured after this update, if anything was."""
    saved: Path | None = None
    """The checkpoint written after this update."""
    per: Unit = BYTE
    """What bits are counted for."""

    @property
    def valid_bits(self) -> float | None:
        """Bits of what was measured after this update, if anything was."""
        return self.measured and self.measured.bits

    def figures(self) -> dict[str, float | int]:
        """What the metrics file keeps of it."""
        figures: dict[str, float | int] = {
            "step": self.step,
            "loss": self.loss,
            f"bits_per_{self.per.name}": self.bits,
            "learning_rate": self.learning_rate,
            "tokens_per_second": self.tokens_per_second,
            "seconds": self.seconds,
        }
        if self.measured is not None:
            figures |= {f"valid_bits_per_{self.per.name}": self.measured.bits, **self.measured.figures}
        return figures

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
    """Nats per target of the last update; None where no update was left to do."""
    best_bits: float | None
    """The best measurement: bits per byte of the validation text, or per other unit of the task."""
    best_step: int | None
    ending: Ending
    checkpoint: Path
    """The newest checkpoint, which holds the state after the last update."""
    per: Unit = BYTE
    """What bits are counted for."""

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the run; it can be resumed."""
        return self.ending == "interrupted"


@final
class Meter:
    """Time of a run over all its sessions, the pace of its last updates, and what follows from both."""

    def __init__(self, config: TrainConfig, *, step: int, seconds: float) -> None:
        self._config, self._step, self._seconds = config, step, seconds
        self._began = time.monotonic() - seconds
        self._updates: deque[float] = deque(maxlen=20)
        self._tokens: deque[float] = deque(maxlen=20)

    def seconds(self) -> float:
        """Time since the run began, interruptions not counted."""
        return time.monotonic() - self._began

    @contextmanager
    def timed(self) -> Generator[None]:
        """Count what happens inside as an update."""
        began = time.monotonic()
        yield
        self._updates.append(time.monotonic() - began)

    def seconds_left(self, *, step: int, seconds: float) -> float:
        """Time to the end, at the pace since this session began."""
        config = self._config
        limits: list[float] = []
        if config.steps:
            limits.append((config.steps - step) * (seconds - self._seconds) / max(1, step - self._step))
        if config.minutes:
            limits.append(60 * config.minutes - seconds)
        return max(0.0, min(limits))

    def progress(
        self,
        *,
        step: int,
        seconds: float,
        update: Update,
        bits: float,
        per: Unit,
        learning_rate: float,
        memory_bytes: int,
        measured: Measurement | None,
    ) -> Progress:
        """Where the run stands after an update, timed before."""
        self._tokens.append(update.tokens)
        return Progress(
            step=step,
            steps=self._config.steps,
            loss=update.loss,
            bits=bits,
            per=per,
            tokens_per_second=sum(self._tokens) / max(1e-9, sum(self._updates)),
            memory_bytes=memory_bytes,
            seconds=seconds,
            seconds_left=self.seconds_left(step=step, seconds=seconds),
            learning_rate=learning_rate,
            measured=measured,
        )
