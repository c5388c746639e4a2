"""Everything that decides how a run goes on, in one place: what a checkpoint holds."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict

from everlong.checkpoint import Checkpoint, save_checkpoint, tie, untie
from everlong.errors import RunError
from everlong.models.base import Model
from everlong.train.config import TrainConfig
from everlong.train.diagnosis import copied_weights, diagnose
from everlong.train.distribution import World, gather_lanes
from everlong.train.learner import Learner, Update
from everlong.train.memory_dropout import MemoryDropout
from everlong.train.optim import optimizer_tensors, put_optimizer_tensors
from everlong.train.task import Task


@final
@dataclass(frozen=True, kw_only=True)
class Best:
    """The best measurement so far."""

    bits: float | None = None
    step: int | None = None
    since: int = 0
    """Measurements after it."""

    def after(self, bits: float, *, step: int) -> "Best":
        """The best of this one and a new one."""
        if self.bits is None or bits < self.bits:
            return Best(bits=bits, step=step)
        return Best(bits=self.bits, step=self.step, since=self.since + 1)


@final
class TrainingState:
    """A run between two updates."""

    def __init__(self, task: Task, config: TrainConfig, world: World) -> None:
        task.objective.model.train()
        self.task, self.config, self.world = task, config, world
        self.learner = Learner(task.objective, config, world)
        self.reader = task.reader(world)
        self.memory = task.new_memory(config.lanes // world.size)
        self.dropout = MemoryDropout(
            rate=config.memory_dropout, swap=config.memory_swap, lanes=config.lanes, seed=config.seed, world=world
        )
        self.step = 0
        self.seconds = 0.0
        self.best = Best()
        # Ranks draw different dropout masks; the caller's generator is not ours to keep, so `train` forks it.
        torch.manual_seed(config.seed + world.rank)

    @property
    def model(self) -> Model:
        """The model being trained."""
        return self.learner.model

    @property
    def memory_bytes(self) -> int:
        """Size of the carried memory of all lanes of all ranks. It never changes."""
        return self.memory.nbytes * self.world.size if self.memory else 0

    def advance(self) -> Update:
        """Read on and update once.

        Raises:
            Diverged: the loss or a gradient is not finite.
        """
        config = self.config
        self.task.done = config.fraction_done(step=self.step, seconds=self.seconds)
        width = config.window_now(step=self.step, seconds=self.seconds)
        chunks = [[next(self.reader) for _ in range(config.window)] for _ in range(config.accumulate)]
        windows = [part[at : at + width] for part in chunks for at in range(0, config.window, width)]
        watched = config.diagnose_every > 0 and (self.step + 1) % config.diagnose_every == 0
        before = copied_weights(self.model) if watched else None
        update = self.learner.update(
            windows, self.memory, dropout=self.dropout, rate=self.learning_rate, step=self.step
        )
        self.memory = update.memory
        self.step += 1
        if before is None:
            return update
        return replace(update, diagnosis=diagnose(self.task.objective, self.reader, self.memory, config, before))

    @property
    def learning_rate(self) -> float:
        """The rate of the next update."""
        return self.config.learning_rate(step=self.step, seconds=self.seconds)

    def save(self, run: Path) -> Path:
        """Write a checkpoint. All ranks call this together; rank 0 writes.

        Raises:
            RunError: the disk is full, or the place may not be written to.
        """
        model = self.model
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        weights = get_model_state_dict(model, options=options)
        tensors = {
            "optimizer": optimizer_tensors(model, self.learner.optimizer),
            "lanes": gather_lanes(self.world, self.memory.flatten() if self.memory else {}),
            "random": self._random(),
        }

        def write() -> str:
            named = {"model": untie(model, weights), **tensors}  # pyright: ignore[reportArgumentType]
            return str(save_checkpoint(run, tensors=named, state=self._fields(), keep=self.config.keep))

        return Path(self.world.on_main(write))

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on where a checkpoint was saved, with the same or another number of ranks.

        Raises:
            DamagedFile: the checkpoint is of another model.
            RunError: another version of Everlong saved it.
        """
        model, state = self.model, checkpoint.state
        if missing := sorted(self._fields().keys() - state.keys()):
            raise RunError(
                f"{checkpoint.folder} was written by another version of Everlong: its state has no '{missing[0]}'. "
                "Go on with that version, or begin a new run in another folder."
            )
        weights = tie(model, checkpoint.tensors("model"), source=checkpoint.folder)
        set_model_state_dict(model, dict[str, Any](weights), options=StateDictOptions(full_state_dict=True))
        put_optimizer_tensors(model, self.learner.optimizer, checkpoint.tensors("optimizer"))
        leaves = {
            # A copy has the alignment of any other tensor, on which the last bits of a matrix product depend.
            name: self.world.slice(leaf).clone().to(model.device)
            for name, leaf in checkpoint.tensors("lanes").items()
        }
        if self.memory is not None:
            self.memory = type(self.memory)(**leaves).made_by(self.memory.maker)
        self.reader.seek(state["cursor"])
        self.learner.scaler.load_state_dict(state["scaler"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.best = Best(bits=state["best_bits"], step=state["best_step"], since=state["since_best"])
        self._restore_random(checkpoint.tensors("random"))

    def _fields(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "seconds": self.seconds,
            "cursor": self.reader.cursor(),
            "scaler": self.learner.scaler.state_dict(),
            "best_bits": self.best.bits,
            "best_step": self.best.step,
            "since_best": self.best.since,
            "ranks": self.world.size,
        }

    def _random(self) -> dict[str, Tensor]:
        states = {"cpu": torch.get_rng_state()}
        if self.model.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.model.device)
        shared = {"memory_dropout": self.dropout.generator.get_state()}
        return {name: self.world.gather(state[None]) for name, state in states.items()} | shared

    def _restore_random(self, states: dict[str, Tensor]) -> None:
        self.dropout.generator.set_state(states["memory_dropout"].clone())
        if states["cpu"].shape[0] != self.world.size:
            # Other ranks, other lanes on each: there is no old state to go on with, but a new one must not repeat.
            torch.manual_seed(self.config.seed + self.step * self.world.size + self.world.rank)
            return
        torch.set_rng_state(states["cpu"][self.world.rank].clone())
        if "cuda" in states and self.model.device.type == "cuda":
            torch.cuda.set_rng_state(states["cuda"][self.world.rank].clone(), self.model.device)
