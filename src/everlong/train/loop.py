"""The training loop."""

import dataclasses
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import torch

from everlong.checkpoint import newest_good_checkpoint, read_checkpoint
from everlong.data import Tokenizer
from everlong.models.base import Model
from everlong.train.config import TrainConfig
from everlong.train.distribution import join_world
from everlong.train.folder import claimed, describe_run, require_same_run
from everlong.train.interrupt import interruptible
from everlong.train.metrics import open_trackers
from everlong.train.progress import Ending, Meter, Progress, Result
from everlong.train.state import TrainingState
from everlong.train.task import Material, Measurement
from everlong.train.tasks import make_task


def ignore(progress: Progress) -> None:
    """Report to nobody."""
    del progress


def train(
    model: Model,
    data: Material,
    valid: Material | None,
    config: TrainConfig,
    out: Path,
    *,
    tokenizer: Tokenizer | None = None,
    resume: bool = False,
    report: Callable[[Progress], None] = ignore,
) -> Result:
    """Train a model on a corpus, on sequences drawn by rule, or on examples, and keep the run in a folder.

    From there it can be resumed and loaded. A corpus, or examples, come with the tokenizer that made them; a generated
    task needs neither that nor anything to be measured on.

    Ctrl-C and SIGTERM end the run after the update in progress, saved. Under torchrun every rank calls this with the
    same arguments and a model on its own device; rank 0 writes and reports. The model is left as the last update made
    it; with `fsdp`, in parts, so load the run to use it.

    Raises:
        ConfigError: model, tokenizer and settings do not fit each other, or the machine.
        DataError: a text is too short, or another tokenizer made a store.
        DamagedFile: no checkpoint of the run to be resumed is whole.
        RunError: the folder cannot be used, the disk is full, or the settings are not those of the run to be resumed.
        Diverged: the loss or a gradient is not finite.
    """
    task = make_task(model, data, valid, config, tokenizer)
    task.require_fitting()
    with ExitStack() as stack:
        world = stack.enter_context(join_world(model.device))
        world.on_main(lambda: str(stack.enter_context(claimed(out, resume=resume))))
        stack.enter_context(torch.random.fork_rng([model.device] if model.device.type == "cuda" else []))
        interrupt = stack.enter_context(interruptible())
        state = TrainingState(task, config, world)
        stack.callback(state.learner.release)
        checkpoint = begin(state, out, resume=resume)
        trackers = [stack.enter_context(closing(t)) for t in open_trackers(out, config.track, world, step=state.step)]
        meter = Meter(config, step=state.step, seconds=state.seconds)
        loss: float | None = None
        ending = limit_reached(state)
        while ending is None:
            rate = state.learning_rate
            with meter.timed():
                update = state.advance()
            state.seconds, stop = world.max(meter.seconds(), float(interrupt.requested))
            measured = None
            if task.is_measured and (due(state.step, config.eval_every) or limit_reached(state)):
                measured = measure(state)
            ending = limit_reached(state) or ("interrupted" if stop else None)
            loss = update.loss
            progress = meter.progress(
                step=state.step,
                seconds=state.seconds,
                update=update,
                bits=task.bits(update),
                per=task.per,
                learning_rate=rate,
                memory_bytes=state.memory_bytes,
                measured=measured,
            )
            # Written before the checkpoint, so that a run killed between the two misses no line when it goes on.
            for tracker in trackers:
                tracker.write(progress.figures() | update.figures())
            if due(state.step, config.save_every) or state.best.step == state.step or ending:
                checkpoint = state.save(out)
                progress = progress.with_saved(checkpoint)
            if world.is_main:
                report(progress)
        return Result(
            step=state.step,
            seconds=state.seconds,
            loss=loss,
            best_bits=state.best.bits,
            best_step=state.best.step,
            ending=ending,
            checkpoint=checkpoint,
            per=task.per,
        )


def begin(state: TrainingState, out: Path, *, resume: bool) -> Path:
    """Go on from the newest whole checkpoint, or describe the run and save its beginning; the checkpoint either way."""

    def prepare() -> str:
        if resume:
            require_same_run(out, state.task, state.config)
        found = newest_good_checkpoint(out) if resume else None
        describe_run(out, state.task, state.config)
        return str(found.folder) if found else ""

    folder = state.world.on_main(prepare)
    if not folder:
        return state.save(out)
    state.restore(read_checkpoint(Path(folder)))
    return Path(folder)


def due(step: int, every: int) -> bool:
    """Whether something that happens every so many updates (0: never) happens after this one."""
    return every > 0 and step % every == 0


def limit_reached(state: TrainingState) -> Ending | None:
    """Why the run ends here, if it does."""
    config = state.config
    if config.steps and state.step >= config.steps:
        return "steps"
    if config.minutes and state.seconds >= 60 * config.minutes:
        return "minutes"
    if config.patience and state.best.since >= config.patience:
        return "patience"
    return None


def measure(state: TrainingState) -> Measurement:
    """What the task measures now, noted as the best so far if it is."""
    found = state.task.measure()
    # The last bits may differ from rank to rank, and all must agree on what is best.
    (bits,) = state.world.max(found.bits)
    state.best = state.best.after(bits, step=state.step)
    return dataclasses.replace(found, bits=bits)
