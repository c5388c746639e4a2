"""How well a generated task is done: bits for each sequence, and the share of answers that are wrong, by size.

    bits of a sequence = - sum of log2 p(answer) over all answers that are asked for

An answer is a bit, whose logit has a sigmoid, or one of some choices, whose logits have a softmax. The same sequences
are drawn each time, whatever a model was trained on.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int, Num
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from everlong.data import Chunk
from everlong.data.synthetic import MEASURED, Episode, Rules, Sizes, TokenRules, collate, generator
from everlong.errors import ConfigError
from everlong.evaluate.mode import evaluating
from everlong.evaluate.reader import ignore
from everlong.models.base import AnyLanguageModel
from everlong.shapes import IGNORE, Answers, Asked, Tokens


class Tally(NamedTuple):
    """How many answers were asked for, and how many were wrong."""

    n_answers: int
    n_wrong: int

    @property
    def accuracy(self) -> float:
        """Part of the answers that are right."""
        return (self.n_answers - self.n_wrong) / self.n_answers


@final
@dataclass(frozen=True, kw_only=True)
class Trial:
    """What the sequences of one size cost."""

    sizes: Sizes | None
    """``None`` where they are drawn as in training."""
    unit: Literal["bits", "answers"]
    """What was asked for."""
    n_sequences: int
    n_answers: int
    """Bits, or choices, that were asked for."""
    n_wrong: int
    """How many of them were likelier guessed otherwise."""
    nats: float
    """Negative log-likelihood of all of them together."""
    least_bits: float | None
    """Bits that the best possible guesses need for all sequences together; ``None`` where nothing has to be guessed."""
    mark: str = ""
    """What tells the answers apart, if anything does."""
    by_mark: Mapping[int, Tally] = field(default_factory=dict[int, Tally])
    """The answers of each mark."""

    @property
    def bits_per_sequence(self) -> float:
        """Bits that the model needs for a sequence."""
        return self.nats / math.log(2) / self.n_sequences

    @property
    def wrong(self) -> float:
        """Part of the bits, or choices, that are wrong."""
        return self.n_wrong / self.n_answers

    @property
    def label(self) -> str:
        """The sizes in words."""
        return sizes_text(self.sizes)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        least = {} if self.least_bits is None else {"least_bits_per_sequence": self.least_bits / self.n_sequences}
        marked: dict[str, Any] = {}
        if self.by_mark:
            marked[f"by_{self.mark}"] = [
                {self.mark: mark, "accuracy": tally.accuracy, f"n_{self.unit}": tally.n_answers}
                for mark, tally in self.by_mark.items()
            ]
        return {
            "sizes": None if self.sizes is None else dict(self.sizes),
            "bits_per_sequence": self.bits_per_sequence,
            f"wrong_{self.unit}": self.wrong,
            **least,
            "n_sequences": self.n_sequences,
            f"n_{self.unit}": self.n_answers,
            **marked,
        }


def sizes_text(sizes: Sizes | None) -> str:
    """Sizes in words.

    >>> sizes_text({"length": 64, "pairs": 4})
    'length 64, pairs 4'
    """
    return "as trained" if sizes is None else ", ".join(f"{name} {size:,}" for name, size in sizes.items())


Answer = Callable[[AnyLanguageModel, Chunk], Answers]
"""Something that gives the logits of a chunk, as `answers` does."""


def answers(model: AnyLanguageModel, chunk: Chunk) -> Answers:
    """Logits of every step; of tokens, those of the steps that ask, as if one lane had them all.

    Each sequence begins with an empty memory.
    What follows a sequence is neither scored nor remembered, so that the padding may be read: all lanes end together,
    and the chunk is one scan.
    """
    if chunk.tokens.is_floating_point():
        return model(chunk.tokens)[0]
    return model.logits_at(chunk.tokens, chunk.targets != IGNORE)[0][None]


def answer_losses(logits: Answers, targets: Asked | Tokens) -> Asked:
    """Negative log-likelihood of each answer in nats; 0 where the target is `IGNORE`.

    As many logits as targets: each is a bit's. So many times as many: each target is a choice among so many.
    Where targets are tokens, one is asked for at a step.
    """
    targets = questions(targets)
    asked = targets != IGNORE
    exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if logits.shape == targets.shape:
        nats = F.binary_cross_entropy_with_logits(exact, targets.where(asked, 0).to(exact.dtype), reduction="none")
        return nats.where(asked, 0)
    by_choice = exact.unflatten(-1, (targets.shape[-1], -1)).movedim(-1, 1)
    return F.cross_entropy(by_choice, targets.long(), ignore_index=IGNORE, reduction="none")


def questions(targets: Asked | Tokens) -> Num[Tensor, "b t q"]:
    """What is asked for at each step; tokens are one question each."""
    return targets[..., None] if targets.ndim == 2 else targets


def are_wrong(logits: Answers, targets: Asked | Tokens) -> Bool[Tensor, "b t q"]:
    """Which answers that are asked for are likelier guessed otherwise."""
    targets = questions(targets)
    if logits.shape == targets.shape:
        differs = (logits > 0) != (targets > 0)
    else:
        differs = logits.unflatten(-1, (targets.shape[-1], -1)).argmax(dim=-1) != targets
    return differs & (targets != IGNORE)


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
    """Bits and wrong answers of so many sequences at each size, `lanes` of them side by side.

    `report` is called with the number of sequences read so far. `answer` reads a chunk; weights that are shared among
    processes need another way.

    Raises:
        ConfigError: ``sequences`` or ``lanes`` is less than 1, or the model's vectors or tokens are not the task's.
    """
    for name, size in {"sequences": sequences, "lanes": lanes}.items():
        if size < 1:
            raise ConfigError(f"{name}={size} is too small. Choose 1 or more.")
    rules = rules.measured()
    require_fitting(model, rules)
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


def require_fitting(model: AnyLanguageModel, rules: Rules) -> None:
    """Make sure that a model reads and answers the vectors, or the tokens, of a task.

    Raises:
        ConfigError: it does not.
    """
    fields = model.config.model_dump()
    have = (fields.get("input_size", 0), fields.get("output_size", 0))
    if isinstance(rules, TokenRules) and (any(have) or fields["vocab_size"] != rules.vocab_size):
        raise ConfigError(
            f"task={rules.name} has {rules.vocab_size} tokens; the model has vocab_size={fields['vocab_size']}, "
            f"input_size={have[0]} and output_size={have[1]}. "
            f"Create it with vocab_size={rules.vocab_size}, and 0 for the others."
        )
    if have != (rules.input_size, rules.output_size):
        raise ConfigError(
            f"task={rules.name} shows vectors of {rules.input_size} numbers and asks for {rules.output_size} "
            f"{'logits' if rules.choices else 'bits'}; "
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
    nats, count, least, asked, wrong = 0.0, 0, list[float](), Counter[int](), Counter[int]()
    while batch := [episode for _, episode in zip(range(lanes), drawn, strict=False)]:
        chunk = collate(batch).to(model.device)
        logits = answer(model, chunk)
        targets, marks = chunk.targets, marks_beside(batch)
        if isinstance(rules, TokenRules):
            asking = targets != IGNORE
            targets, marks = targets[asking][None], marks[asking.cpu()][None]
        nats += float(answer_losses(logits, targets).double().sum())
        asked += count_by(marks, questions(targets) != IGNORE)
        wrong += count_by(marks, are_wrong(logits, targets))
        least += [bits for episode in batch if (bits := rules.least_bits(episode)) is not None]
        count += len(batch)
        report(done + count)
    return Trial(
        sizes=sizes,
        unit=rules.unit,
        n_sequences=count,
        n_answers=asked.total(),
        n_wrong=wrong.total(),
        nats=nats,
        least_bits=sum(least) if least else None,
        mark=rules.mark,
        by_mark={mark: Tally(asked[mark], wrong[mark]) for mark in sorted(asked) if mark},
    )


def marks_beside(episodes: Sequence[Episode]) -> Int[Tensor, "b t"]:
    """The marks of episodes side by side; 0 where a step has none."""
    marks = [torch.zeros(len(e.inputs), dtype=torch.int64) if e.marks is None else e.marks for e in episodes]
    return pad_sequence(marks, batch_first=True)


def count_by(marks: Int[Tensor, "b t"], said: Bool[Tensor, "b t q"]) -> Counter[int]:
    """How many answers of each mark this is said of; marks of which it is not said are left out."""
    counts = torch.bincount(marks.flatten(), said.sum(dim=-1).flatten().cpu()).long()
    return Counter({mark: n for mark, n in enumerate(counts.tolist()) if n})
