"""Small runs of the very model that a plan is about: the same widths and settings, fewer layers and lanes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import nn

from everlong.data import Chunk
from everlong.data.pair_store import PairBatch, Sources
from everlong.memory import Memory
from everlong.models import Encoder, LanguageModel, Seq2Seq
from everlong.models.base import Model
from everlong.plan.case import Setup
from everlong.plan.ledger import Counts, count
from everlong.shapes import IGNORE, Tokens
from everlong.train.distribution import World
from everlong.train.hidden_loss import HiddenLoss
from everlong.train.learner import Learner
from everlong.train.memory_dropout import MemoryDropout
from everlong.train.objective import Objective
from everlong.train.pairs import PairLoss
from everlong.train.stream_loss import StreamLoss

FULL = 1 << 20
"""Position of a lane that has read for long: its memory is full, and segments of a power of two begin there."""

DECODED = 32
"""Tokens that are decoded together, as some cost more than others: those that end a segment or make a summary."""

RATE = 1e-6
"""Learning rate of trials."""


@final
@dataclass(frozen=True, kw_only=True)
class Trial:
    """Something that can be run again and again, and timed."""

    model: Model
    run: Callable[[], object]
    counted: Callable[[], object]
    """The same where kernels can be counted."""
    forward: nn.Module | None = None
    """Whose first call in it is a forward pass; ``None`` where all of it is."""

    def counts(self) -> Counts:
        """Counts of one run, once what it makes only the first time is there; parts are those of a forward pass."""
        self.run()
        return count(self.counted, self.model, forward=self.forward)


def training_trial(setup: Setup) -> Trial:
    """One update of all windows, as a run makes it."""
    torch.manual_seed(0)
    model = setup.build().train()
    c = setup.training
    learner = Learner(objective_of(model, c.precision), c, World())
    batch = example(setup, model)
    memory = full_memory(model, c.lanes) if setup.kind == "causal" else None
    dropout = MemoryDropout(rate=0.0, lanes=c.lanes, seed=0, world=World())
    windows = [[batch] * c.window] * c.accumulate

    def run() -> object:
        return learner.update(windows, memory, dropout=dropout, rate=RATE, step=0)

    return Trial(model=model, run=run, counted=run, forward=learner.objective)


def decoding_trial(setup: Setup) -> Trial:
    """Some tokens of one lane, one after the other, each the likeliest after those before it."""
    torch.manual_seed(0)
    model = setup.build().eval()
    assert isinstance(model, LanguageModel)
    read = model.read(tokens_of(model, 1, setup.length)) if isinstance(model, Seq2Seq) else None
    began = full_memory(model, 1, read)

    def write() -> None:
        token, memory = torch.zeros(1, 1, dtype=torch.int64), began
        for _ in range(DECODED):
            logits, memory = model(token, memory)
            token = logits.argmax(dim=-1)

    # In inference mode whole maps pass as one kernel, and their products are not seen.
    return Trial(model=model, run=torch.inference_mode()(write), counted=torch.no_grad()(write))


def objective_of(model: Model, precision: str) -> Objective[Any]:
    """What a model of its kind learns from plain text: the next token, hidden tokens, a target from its source."""
    if isinstance(model, Encoder):
        return HiddenLoss(model, precision=precision)
    return (PairLoss if isinstance(model, Seq2Seq) else StreamLoss)(model, precision=precision)


def example(setup: Setup, model: Model) -> Chunk | PairBatch:
    """What one window's chunk holds, made of random tokens."""
    lanes, time = setup.training.lanes, setup.chunk
    tokens = tokens_of(model, lanes, time + 1)
    targets, lengths = tokens[:, 1:].contiguous(), torch.full((lanes,), time)
    if isinstance(model, Encoder):
        # As many as are hidden on average, evenly: a lane costs as much as any other.
        hidden = torch.arange(time) % round(1 / setup.training.mask_rate) == 0
        targets = torch.where(hidden, targets, IGNORE)
    if isinstance(model, Seq2Seq):
        source = Sources(
            tokens=tokens_of(model, lanes, setup.length), lengths=torch.full((lanes,), setup.length), sections=None
        )
        return PairBatch(sources=source, tokens=tokens[:, :-1], targets=targets, lengths=lengths)
    return Chunk(
        tokens=tokens[:, :-1], targets=targets, starts=torch.zeros(lanes, time, dtype=torch.bool), lengths=lengths
    )


def tokens_of(model: Model, lanes: int, time: int) -> Tokens:
    """Random tokens."""
    return torch.randint(model.config.vocab_size, (lanes, time))


def full_memory(model: Model, lanes: int, read: Memory | None = None) -> Memory:
    """A memory of lanes that have read for long. What it holds does not matter to its cost, and is 0."""
    assert isinstance(model, LanguageModel)
    memory: Memory = model.init_memory(lanes) if read is None else read
    leaves = {**memory.flatten(), "position": torch.full_like(memory.position, FULL)}
    return type(memory)(**leaves).made_by(model)
