"""The output folder of a run: who may write to it, and what it says about the run.

config.json     the model's architecture and fields     tokenizer.json   text to tokens
train.json      the training settings and the data      .lock            the process that writes here

Each task says what its data are; a run of a generated task has the rules for data, and no tokenizer. Pictures that its
sequences are drawn from are kept in pictures.safetensors.
"""

import fcntl
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from everlong.checkpoint import CHECKPOINTS, CONFIG, list_checkpoints
from everlong.data import Tokenizer
from everlong.data.sealed import read_sealed, write_sealed
from everlong.data.synthetic import PICTURES, RULES, Rules
from everlong.errors import RunError
from everlong.models.base import Model
from everlong.storage import disk_errors
from everlong.train.config import RESULT_NEUTRAL, TrainConfig
from everlong.train.task import Task

TRAIN, LOCK = "train.json", ".lock"
CONVERTED_FROM = "converted_from"
"""What a run that was converted says of its data: the folder it was made from."""
EXAMPLES, HELD_OUT_EXAMPLES = "examples", "examples-valid"
START = "start"
"""A run within a run: what it began with, where that was another run's weights."""
OURS = {
    *(CONFIG, TRAIN, LOCK, CHECKPOINTS, "metrics.jsonl", "optimisation.html", "tensorboard", "tokenizer.json"),
    *("store", "valid", EXAMPLES, HELD_OUT_EXAMPLES, PICTURES, START),
}


@contextmanager
def claimed(folder: Path, *, resume: bool) -> Generator[Path]:
    """Keep a folder to this process. It is made if need be, and released when the block or the process ends.

    Raises:
        RunError: another process has it, it holds something else or a run already, or there is no run to resume.
    """
    if not (folder / LOCK).exists():
        require_usable(folder, resume=resume)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
            raise RunError(
                f"{folder} is in use by process {owner}. Wait for it to end, or choose another folder."
            ) from None
        require_usable(folder, resume=resume)
        with disk_errors(folder / LOCK):
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield folder
    finally:
        os.close(handle)


def require_usable(folder: Path, *, resume: bool) -> None:
    """Make sure that a run may begin, or go on, in a folder. Nothing is touched.

    Raises:
        RunError: it is a file, it holds something else or a run already, or there is no run to resume.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file, a run needs a folder. Choose another name.")
    if resume and not (folder / CONFIG).is_file():
        raise RunError(f"{folder} holds no run to resume. Leave out --resume (resume=False) to begin one there.")
    if resume and (folder / TRAIN).is_file() and CONVERTED_FROM in data_of(folder):
        raise RunError(
            f"the run in {folder} was converted and not trained, so there is nothing to resume. "
            f"Begin a run with it in another folder: everlong train MODEL --from {folder}."
        )
    if resume or not folder.exists():
        return
    if list_checkpoints(folder):
        raise RunError(
            f"{folder} holds a run already. Give --resume (resume=True) to go on with it, or choose another folder."
        )
    strangers = sorted(path.name for path in folder.iterdir() if path.name not in OURS)
    if strangers:
        raise RunError(
            f"{folder} is not empty: it holds '{strangers[0]}', which is no part of a run. "
            "Choose a new folder, or one that is empty."
        )


def describe_run(folder: Path, task: Task, config: TrainConfig) -> None:
    """Write what the run is, so that it can be loaded and resumed.

    Raises:
        RunError: the disk is full.
    """
    describe(folder, task.objective.model, task.tokenizer, config, task.facts())
    task.keep(folder)


def describe(
    folder: Path, model: Model, tokenizer: Tokenizer | None, config: TrainConfig, facts: Mapping[str, Any]
) -> None:
    """Write what a model is, what makes its tokens, and how and of what it learned.

    Raises:
        RunError: the disk is full.
    """
    if tokenizer is not None:
        tokenizer.save(folder)
    write_sealed(folder / TRAIN, {"training": config.model_dump(mode="json"), "data": dict(facts)})
    write_sealed(folder / CONFIG, {"architecture": model.architecture, "model": model.config.model_dump(mode="json")})


def training_of(folder: Path) -> TrainConfig:
    """The settings that a run was trained with; fields that are newer than the run have their defaults.

    Raises:
        DamagedFile: ``train.json`` is missing or altered.
    """
    return TrainConfig.parse(cast("dict[str, Any]", read_sealed(folder / TRAIN)["training"]))


def examples_of(folder: Path) -> Mapping[str, Any]:
    """What the task of a run says about its examples: the names of labels, say.

    Raises:
        DamagedFile: ``train.json`` is missing or altered.
    """
    return cast("dict[str, Any]", read_sealed(folder / TRAIN)["data"])["about"]


def rules_of(folder: Path) -> Rules | None:
    """How the sequences of a run are drawn, and what from; ``None`` where none are.

    Raises:
        DamagedFile: ``train.json`` is missing or altered, or what the sequences are drawn from is.
    """
    rules = RULES.get(training_of(folder).task)
    if rules is None:
        return None
    fields = {name: value for name, value in data_of(folder).items() if name in rules.model_fields}
    return rules.parse(fields).kept_in(folder)


def data_of(folder: Path) -> dict[str, Any]:
    """What a run says of its data.

    Raises:
        DamagedFile: ``train.json`` is missing or altered.
    """
    return cast("dict[str, Any]", read_sealed(folder / TRAIN)["data"])


def require_same_run(folder: Path, task: Task, config: TrainConfig) -> None:
    """Make sure that the run in a folder would go on as it would have gone on.

    Raises:
        RunError: a setting that decides the result has another value.
        DamagedFile: ``config.json`` or ``train.json`` is missing or altered.
    """
    model = task.objective.model
    about = read_sealed(folder / CONFIG)
    require_equal("architecture", {"architecture": about["architecture"]}, {"architecture": model.architecture}, folder)
    # Parsed, so that fields that are newer than the run have their defaults.
    before = type(model.config).parse(cast("dict[str, Any]", about["model"]))
    require_equal("model", before.model_dump(mode="json"), model.config.model_dump(mode="json"), folder)
    theirs, ours = (settings.model_dump(mode="json") for settings in (training_of(folder), config))
    for name in RESULT_NEUTRAL:
        theirs.pop(name, None)
        ours.pop(name, None)
    require_equal("training", theirs, ours, folder)
    rules = RULES.get(config.task)
    require_equal("data", (rules.defaults() if rules else {}) | data_of(folder), task.facts(), folder)


def require_equal(kind: str, theirs: Any, ours: Mapping[str, Any], folder: Path) -> None:
    """Make sure that what a run's folder says of it is what is asked for now.

    Raises:
        RunError: a setting has another value.
    """
    for name in {**ours, **theirs}:
        if theirs.get(name) != ours.get(name):
            raise RunError(
                f"the run in {folder} has {kind} setting {name}={theirs.get(name)}, now it is {ours.get(name)}. "
                f"Resume with {name}={theirs.get(name)}, or begin a new run in another folder."
            )
