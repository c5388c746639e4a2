"""How well a generated task is done: bits for each sequence, and the share of bits that are guessed wrong, by size.

    bits of a sequence = - sum of log2 p(bit) over all bits that are asked for

The same sequences are drawn each time, whatever a model was trained on.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor

from everlong.data import Chunk
from everlong.data.synthetic import MEASURED, Episode, Rules, Sizes, collate, generator
from everlong.errors import ConfigError
from everlong.evaluate.mode import evaluating
from everlong.evaluate.reader import ignore
from everlong.models.base import AnyLanguageModel
from everlong.shapes import IGNORE, Answers


@final
@dataclass(frozen=True, kw_only=True)
class Trial:
    """What the sequences of one size cost."""

    sizes: Sizes | None
    """``None`` where they are drawn as in training."""
    n_sequences: int
    n_bits: int
    """Bits that were asked for."""
    n_wrong: int
    """How many of them were likelier guessed otherwise."""
    nats: float
    """Negative log-likelihood of all of them together."""
    least_bits: float | None
    """Bits that the best possible guesses need for all sequences together; ``None`` where nothing has to be guessed."""

    @property
    def bits_per_sequence(self) -> float:
        """Bits that the model needs for a sequence."""
        return self.nats / math.log(2) / self.n_sequences

    @property
    def wrong_bits(self) -> float:
        """Part of the bits that are wrong."""
        return self.n_wrong / self.n_bits

    @property
    def label(self) -> str:
        """The sizes in words."""
        if self.sizes is None:
            return "as trained"
        return ", ".join(f"{name} {size:,}" for name, size in self.sizes.items())

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        least = {} if self.least_bits is None else {"least_bits_per_sequence": self.least_bits / self.n_sequences}
        return {
            "sizes": None if self.sizes is None else dict(self.sizes),
            "bits_per_sequence": self.bits_per_sequence,
            "wrong_bits": self.wrong_bits,
            **least,
            "n_sequences": self.n_sequences,
            "n_bits": self.n_bits,
        }


Answer = Callable[[AnyLanguageModel, Chunk], Answers]
"""Something that gives the logits of all bits of a chunk."""


def answers(model: AnyLanguageModel, chunk: Chunk) -> Answers:
    """Logits of the bits of every step; each sequence begins with an empty memory.

    What follows a sequence is neither scored nor remembered, so that the padding may be read: all lanes end together,
    and the chunk is one scan.
    """
    return model(chunk.tokens)[0]


def bit_losses(logits: Answers, targets: Answers) -> Answers:
    """Negative log-likelihood of each bit in nats; 0 where the target is `IGNORE`."""
    asked = targets != IGNORE
    exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
    nats = F.binary_cross_entropy_with_logits(exact, targets.where(asked, 0).to(exact.dtype), reduction="none")
    return nats.where(asked, 0)


def count_wrong(logits: Answers, targets: Answers) -> Tensor:
    """How many bits that are asked for are likelier guessed otherwise."""
    return (((logits > 0) != (targets > 0)) & (targets != IGNORE)).sum()


def evaluate_episodes(
    model: AnyLanguageModel,
    rules: Rules,
    *,
    trials: Sequence[Sizes | None],
    sequences: int,
    lanes: int,
    report: Callable[[int], None] = ignore,
    answer: Answer = answers,
) -> tuple[Trial, ...]:
    """Bits and wrong bits of so many sequences at each size, `lanes` of them side by side.

    `report` is called with the number of sequences read so far. `answer` reads a chunk; weights that are shared among
    processes need another way.

    Raises:
        ConfigError: ``sequences`` or ``lanes`` is less than 1, or the model's vectors are not those of the task.
    """
    for name, size in {"sequences": sequences, "lanes": lanes}.items():
        if size < 1:
            raise ConfigError(f"{name}={size} is too small. Choose 1 or more.")
    require_vectors(model, rules)
    found: list[Trial] = []
    with evaluating(model), torch.no_grad():
        for n, sizes in enumerate(trials):
            done = n * sequences
            drawn = draw_measured(rules, sizes, count=sequences)
            found.append(_measure(model, rules, sizes, drawn, lanes=lanes, answer=answer, done=done, report=report))
    return tuple(found)


def draw_measured(rules: Rules, sizes: Sizes | None, *, count: int, first: int = 0) -> Iterator[Episode]:
    """Episodes that are measured at these sizes, or at those of training; never those that are trained on."""
    for n in range(first, first + count):
        rng = generator(MEASURED, n, *(() if sizes is None else sizes.values()))
        yield rules.draw(rng, rules.draw_sizes(rng) if sizes is None else sizes)


def require_vectors(model: AnyLanguageModel, rules: Rules) -> None:
    """Make sure that a model reads and answers the vectors of a task.

    Raises:
        ConfigError: it does not.
    """
    fields = model.config.model_dump()
    have = (fields.get("input_size", 0), fields.get("output_size", 0))
    if have != (rules.input_size, rules.output_size):
        raise ConfigError(
            f"task={rules.name} shows vectors of {rules.input_size} numbers and asks for {rules.output_size} bits; "
            f"the model has input_size={have[0]} and output_size={have[1]}. "
            f"Create it with input_size={rules.input_size}, output_size={rules.output_size}."
        )


def _measure(
    model: AnyLanguageModel,
    rules: Rules,
    sizes: Sizes | None,
    drawn: Iterator[Episode],
    *,
    lanes: int,
    answer: Answer,
    done: int,
    report: Callable[[int], None],
) -> Trial:
    nats, n_bits, n_wrong, count, least = 0.0, 0, 0, 0, list[float]()
    while batch := [episode for _, episode in zip(range(lanes), drawn, strict=False)]:
        chunk = collate(batch).to(model.device)
        logits = answer(model, chunk)
        nats += float(bit_losses(logits, chunk.targets).double().sum())
        n_bits += int((chunk.targets != IGNORE).sum())
        n_wrong += int(count_wrong(logits, chunk.targets))
        least += [bits for episode in batch if (bits := rules.least_bits(episode)) is not None]
        count += len(batch)
        report(done + count)
    return Trial(
        sizes=sizes,
        n_sequences=count,
        n_bits=n_bits,
        n_wrong=n_wrong,
        nats=nats,
        least_bits=sum(least) if least else None,
    )
