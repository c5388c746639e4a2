"""The demo from beginning to end."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import torch

from everlong.data import ByteTokenizer, Document, TokenStore
from everlong.demo.book import Chapter, held_out_chapters, training_chapters
from everlong.demo.settings import ARCHITECTURE, MODEL
from everlong.demo.story import Story, write_story
from everlong.demo.threads import fastest_threads
from everlong.evaluate import Evaluation, evaluate
from everlong.models import create_model
from everlong.run import Run, load
from everlong.train import Progress, Result, TrainConfig, train

READ = 4_000
"""Characters of a held-out chapter that the story goes on from."""


@final
@dataclass(frozen=True, kw_only=True)
class Curve:
    """Bits per byte while training went on, against seconds."""

    train: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    held_out: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])

    def add(self, now: Progress) -> None:
        """Note where the run stands."""
        self.train.append((now.seconds, now.bits))
        if now.valid_bits is not None:
            self.held_out.append((now.seconds, now.valid_bits))


@final
@dataclass(frozen=True, kw_only=True)
class Showing:
    """Everything the demo found."""

    folder: Path
    parameters: int
    threads: int
    train_bytes: int
    held_out_bytes: int
    tokens_per_second: float
    training: Result
    curve: Curve
    evaluation: Evaluation
    story: Story
    seconds: float

    @property
    def report(self) -> Path:
        """The page."""
        return self.folder / "report.html"

    def to_dict(self) -> dict[str, Any]:
        """The findings as JSON values."""
        return {
            "report": str(self.report),
            "run": str(self.folder / "run"),
            "memory": str(self.folder / "story.memory"),
            **{name: getattr(self.evaluation, name) for name in BITS},
            "gain_error": self.evaluation.gain_error,
            "same_continuation": self.story.same,
            "story": self.story.written,
            "steps": self.training.step,
            "training_seconds": self.training.seconds,
            "seconds": self.seconds,
            "parameters": self.parameters,
            "threads": self.threads,
            "session_bytes": self.story.session_bytes,
        }


BITS = ("bits_per_byte", "bits_per_byte_reset", "bits_per_byte_other", "gain")


def show(
    folder: Path,
    *,
    training: TrainConfig,
    threads: int,
    tell: Callable[[str], None],
    report: Callable[[Progress], None],
    model_fields: Mapping[str, Any] = MODEL,
) -> Showing:
    """Train, measure, write, save, go on in a new process.

    Args:
        folder: a new or empty one, for everything that is written.
        training: how long and how.
        threads: CPU threads here and in the new process; 0 for as many as are fastest now.
        tell: takes a sentence about what comes next.
        report: takes the training's progress.
        model_fields: fields of the model besides its vocabulary.

    Raises:
        EverlongError: the folder is in use, the disk is full, or training diverged.
    """
    began = time.perf_counter()
    tokenizer = ByteTokenizer()
    home = folder / "run"
    train_store = _store(training_chapters(), home / "store")
    held_out = _store(held_out_chapters(), home / "valid")
    torch.manual_seed(training.seed)
    model = create_model(ARCHITECTURE, **{**model_fields, "vocab_size": tokenizer.vocab_size})
    parameters = sum(parameter.numel() for parameter in model.parameters())
    threads = threads or fastest_threads(model, lanes=training.lanes, chunk=training.chunk)
    torch.set_num_threads(threads)
    tell(
        f"training a {ARCHITECTURE} of {parameters:,} parameters on {train_store.n_bytes:,} bytes of the book, "
        f"with {threads} thread{'s' if threads > 1 else ''}"
    )
    curve = Curve()

    def note(now: Progress) -> None:
        curve.add(now)
        report(now)

    result = train(model, train_store, held_out, training, home, tokenizer=tokenizer, report=note)
    run = load(home)
    tell("reading the held-out chapters with their memory, without any, and with another chapter's")
    evaluation = evaluate(run.language_model, held_out, tokenizer, lanes=held_out.n_documents, chunk=training.chunk)
    tell("writing on, and writing on again in a new process")
    story = _story(run, folder / "story.memory", threads=threads)
    return Showing(
        folder=folder,
        parameters=parameters,
        threads=threads,
        train_bytes=train_store.n_bytes,
        held_out_bytes=held_out.n_bytes,
        tokens_per_second=result.step * training.lanes * training.chunk * training.window / max(result.seconds, 1e-9),
        training=result,
        curve=curve,
        evaluation=evaluation,
        story=story,
        seconds=time.perf_counter() - began,
    )


def _story(run: Run, memory: Path, *, threads: int) -> Story:
    text = held_out_chapters()[0].text[:READ]
    # A whole sentence, so that the story begins with one.
    return write_story(run, text[: text.rindex(". ") + 2], memory, threads=threads)


def _store(chapters: tuple[Chapter, ...], folder: Path) -> TokenStore:
    documents = [Document(chapter.name, chapter.text) for chapter in chapters]
    return TokenStore.build(documents, ByteTokenizer(), folder)
