"""The settings of a training run."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from everlong.config import Config
from everlong.data import MaskUnit

Precision = Literal["float32", "bfloat16", "float16"]
TextTask = Literal["lm", "mlm", "dialogue"]
GeneratedTask = Literal[
    "copy",
    "repeat-copy",
    "associative-recall",
    "priority-sort",
    "dynamic-n-gram",
    "graph-traversal",
    "shortest-path",
    "omniglot",
    "multi-query-recall",
    "multi-query-overwrite",
    "selective-copy",
    "induction-heads",
    "passkey",
    "needle",
    "variable-tracking",
    "listops",
]
SupervisedTask = Literal["answer", "babi", "classify", "summarize", "tag", "translate"]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
TaskName = Literal[TextTask, GeneratedTask, SupervisedTask]

RESULT_NEUTRAL = frozenset(
    {
        "steps",
        "minutes",
        "recompute",
        "eval_every",
        "eval_tokens",
        "eval_sequences",
        "eval_examples",
        "patience",
        "diagnose_every",
        "save_every",
        "keep",
        "track",
        "fsdp",
    }
)
"""Fields that may change when a run goes on. All others decide what an update computes."""


class TrainConfig(Config):
    """How long, on how much at a time, how fast, and what is kept. Equal configs give equal runs on one machine."""

    task: TaskName = "lm"
    """What is learned: the next token of a stream (``lm``, ``dialogue``), hidden tokens (``mlm``), a generated task, or
    examples."""
    steps: int = Field(default=1000, ge=0)
    """Updates in all; 0 for no limit but `minutes`."""
    minutes: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """Time in all; 0 for no limit. Where both limits are given, the first one reached ends the run."""
    lanes: int = Field(default=8, ge=1)
    """Streams, generated sequences or examples read side by side, over all ranks together."""
    chunk: int = Field(default=256, ge=1)
    """Tokens of each lane that one call reads; a generated sequence, or an example, is read as a whole."""
    window: int = Field(default=1, ge=1)
    """Chunks that gradients flow through before the memory is cut off from its past."""
    window_growth: float = Field(default=0.0, ge=0.0, le=1.0)
    """Part of the run over which the cuts of gradients grow apart, by doubling, from one chunk to `window`."""
    accumulate: int = Field(default=1, ge=1)
    """Successive windows whose gradients make one update."""
    lr: float = Field(default=1e-3, gt=0.0, allow_inf_nan=False)
    """Highest learning rate."""
    min_lr_ratio: float = Field(default=0.1, ge=0.0, le=1.0)
    """Last learning rate as a part of the highest."""
    warmup: int = Field(default=100, ge=0)
    """Updates in which the learning rate rises from 0."""
    weight_decay: float = Field(default=0.01, ge=0.0, allow_inf_nan=False)
    """Decay of matrices; biases, gains of norms and embeddings do not decay."""
    clip: float = Field(default=0.25, ge=0.0, allow_inf_nan=False)
    """Largest norm of all gradients together; 0 for no limit."""
    clip_aux: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """Largest norm of the gradients of the memory's own losses, where it has any, before they join the others; 0 for no
    such limit."""
    precision: Precision = "float32"
    """Arithmetic of large products; weights and memory stay float32. Others than float32 pay on a GPU, not on a CPU."""
    recompute: bool = False
    """Whether to compute activations again in the backward pass, for less memory and about a third more time."""
    memory_dropout: float = Field(default=0.0, ge=0.0, le=1.0)
    """Chance of a lane, before each window, to go on with an empty memory or with another lane's (half each)."""
    long_weight: float = Field(default=1.0, ge=1.0, allow_inf_nan=False)
    """Largest weight of a token that the memory helps to predict (``lm``, ``dialogue``); 1 for the plain loss."""
    favour: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """Documents are drawn by this power of their scores for long dependencies (``lm``, ``dialogue``); 0 for all text in
    order."""
    mix: tuple[Share, Share] = (0.0, 0.0)
    """Share of tokens that are of generated passages, at the beginning of the run and at its end (``lm``)."""
    memory_swap: float = Field(default=0.0, ge=0.0, le=1.0)
    """Chance of a lane, before each window, to go on with another lane's memory, besides those of `memory_dropout`."""
    mask_rate: float = Field(default=0.15, gt=0.0, le=1.0)
    """Chance of a token to be hidden (``mlm``)."""
    mask_unit: MaskUnit = "token"
    """What is hidden together (``mlm``): single tokens, whole words, or spans of five tokens on average."""
    seed: int = Field(default=0, ge=0, lt=1 << 32)
    eval_every: int = Field(default=200, ge=0)
    """Updates between measurements on the validation text; 0 for one at the end only."""
    eval_tokens: int = Field(default=65536, ge=1)
    """Tokens of the validation text that are read each time."""
    eval_sequences: int = Field(default=100, ge=1)
    """Generated sequences of each size that are measured each time."""
    eval_examples: int = Field(default=1000, ge=1)
    """Held-out examples that are measured each time, spread evenly over all of them."""
    patience: int = Field(default=0, ge=0)
    """Measurements without a new best after which the run ends; 0 for never."""
    diagnose_every: int = Field(default=0, ge=0)
    """Updates between diagnoses of the optimisation (docs/optimisation.md); 0 for never."""
    save_every: int = Field(default=200, ge=0)
    """Updates between checkpoints; 0 for one at the end only. A new best is always saved."""
    keep: int = Field(default=2, ge=1)
    """Newest checkpoints that are kept, besides the best one."""
    track: Literal["none", "tensorboard"] = "none"
    """Where figures go besides ``metrics.jsonl``."""
    fsdp: bool = False
    """Whether ranks share weights, gradients and optimiser state (FSDP2) instead of keeping copies (DDP)."""

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if not self.steps and not self.minutes:
            raise ValueError("steps=0 and minutes=0 would train for ever; give one of them.")
        if self.memory_dropout and self.task not in ("lm", "dialogue"):
            raise ValueError(f"task='{self.task}' carries no memory that memory_dropout could drop; leave it at 0.")
        if (self.long_weight > 1 or self.favour) and self.task not in ("lm", "dialogue"):
            raise ValueError(
                f"task='{self.task}' reads no stream of documents; leave long_weight at 1 and favour at 0."
            )
        if any(self.mix) and self.task != "lm":
            raise ValueError(f"task='{self.task}' is not mixed with generated passages; leave mix at [0, 0].")
        if self.memory_swap and self.task not in ("lm", "dialogue"):
            raise ValueError(f"task='{self.task}' carries no memory that memory_swap could swap; leave it at 0.")
        if self.memory_swap and self.lanes == 1:
            raise ValueError("lanes=1 leaves memory_swap no other memory to go on with; read 2 lanes or more.")
        if self.memory_dropout + self.memory_swap > 1:
            raise ValueError(
                f"memory_dropout={self.memory_dropout:g} and memory_swap={self.memory_swap:g} are chances of one lane; "
                "choose two that add up to 1 at most."
            )
        if self.window_growth and self.task not in ("lm", "dialogue"):
            raise ValueError(
                f"task='{self.task}' carries no memory from chunk to chunk, so no window can grow; "
                "leave window_growth at 0."
            )
        if self.window_growth and self.window == 1:
            raise ValueError("window=1 leaves window_growth nothing to grow to; choose a window of 2 chunks or more.")
        if self.clip_aux and self.precision == "float16":
            raise ValueError(
                "precision='float16' scales all losses together, and clip_aux takes some apart; "
                "give precision='bfloat16'."
            )
        if self.diagnose_every and self.fsdp:
            raise ValueError("fsdp=True shares out the weights that diagnose_every looks at; leave one of them out.")
        if self.fsdp and self.precision == "float16":
            raise ValueError(
                "precision='float16' scales losses, which fsdp does not support; give precision='bfloat16'."
            )
        return self

    def fraction_done(self, *, step: int, seconds: float) -> float:
        """How much of the run is over: the larger of its parts in steps and in time, at most 1."""
        by_steps = step / self.steps if self.steps else 0.0
        by_time = seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_steps, by_time))

    def mix_share(self, done: float) -> float:
        """The share of generated passages when so much of the run is over: a line from its beginning to its end."""
        begin, end = self.mix
        return begin + (end - begin) * done

    def window_now(self, *, step: int, seconds: float) -> int:
        """Chunks between two cuts of the gradient in the update after `step` updates: 1, 2, 4, and last `window`."""
        done = self.fraction_done(step=step, seconds=seconds)
        if done >= self.window_growth:
            return self.window
        doublings = math.ceil(math.log2(self.window))
        return min(self.window, 1 << int(doublings * done / self.window_growth))

    def learning_rate(self, *, step: int, seconds: float) -> float:
        """The rate of the update after `step` updates: a line up from 0 until it meets a cosine over the whole run."""
        rising = min(1.0, (step + 1) / (self.warmup + 1))
        cosine = 0.5 * (1 + math.cos(math.pi * self.fraction_done(step=step, seconds=seconds)))
        return self.lr * min(rising, self.min_lr_ratio + (1 - self.min_lr_ratio) * cosine)
