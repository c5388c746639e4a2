"""Many texts continued at once, each as it would be alone."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch

from everlong.data.bytelevel import Ids
from everlong.errors import ConfigError
from everlong.generate.outlook import Outlook, check_evaluating, choose, follow, join, read, retire
from everlong.generate.sampling import PLAIN, Sampler
from everlong.memory import Memory
from everlong.models.base import AnyLanguageModel

Accept = Callable[[int, int], bool]
"""Called with a lane and its next token. False ends the lane before that token."""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """What was written after every prompt."""

    tokens: list[list[int]]
    """The new tokens of each lane, without the one that stopped it."""

    stopped: list[bool]
    """Whether the lane was stopped, rather than being as long as it may."""

    outlook: Outlook
    """Where the texts stand now, with exactly these tokens read."""

    @property
    def memory(self) -> Memory:
        """What is remembered of prompts and new tokens together."""
        return self.outlook.memory


def generate(
    model: AnyLanguageModel,
    prompts: Sequence[Ids],
    *,
    max_new_tokens: int,
    sampler: Sampler = PLAIN,
    seed: int | Sequence[int] = 0,
    stop_ids: Collection[int] = (),
    memory: Memory | None = None,
) -> Generation:
    """Continue prompts of any lengths in one batch; each result is the one it would have alone.

    Alone and in a batch, sums are rounded in another order, so this holds but for two tokens whose scores lie within
    that rounding of each other (about 1e-7 in float32, 1e-16 in float64).

    Args:
        model: in evaluation mode.
        prompts: token ids, one sequence a lane.
        max_new_tokens: how many tokens a lane writes unless it is stopped.
        sampler: how tokens are chosen.
        seed: one for all, or one a prompt. The same prompt with the same seed is continued the same way.
        stop_ids: tokens that end a lane; they are neither returned nor remembered.
        memory: what the lanes had read before their prompts; ``None`` for nothing.

    Raises:
        ConfigError: a setting is out of range, or the model is in training mode.
        DataError: there is no prompt, or one is empty.
        ShapeError: a token is outside the vocabulary.
        MemoryMismatch: the memory has other lanes or slots than needed.
        RunError: the model's scores hold NaN or infinity.
    """
    vocab = model.config.vocab_size
    for token in stop_ids:
        if not 0 <= token < vocab:
            raise ConfigError(f"stop id {token} is outside the vocabulary of {vocab}, so it would never stop anything.")
    seeds = check_length_and_seed(max_new_tokens, seed, lanes=len(prompts))
    return decode(
        model,
        read(model, prompts, memory),
        max_new_tokens=max_new_tokens,
        sampler=sampler,
        seed=seeds,
        accept=lambda _, token: token not in stop_ids,
    )


def decode(
    model: AnyLanguageModel,
    outlook: Outlook,
    *,
    max_new_tokens: int,
    sampler: Sampler = PLAIN,
    seed: int | Sequence[int] = 0,
    accept: Accept = lambda _lane, _token: True,
) -> Generation:
    """Continue texts from where they stand. Every token passes through `accept` before it is read.

    Raises:
        ConfigError: a setting is out of range, or the model is in training mode.
        RunError: the model's scores hold NaN or infinity.
    """
    check_evaluating(model)
    seeds = check_length_and_seed(max_new_tokens, seed, lanes=outlook.lanes)
    tokens: list[list[int]] = [[] for _ in seeds]
    stopped = [False] * outlook.lanes
    lanes = list(range(outlook.lanes))
    parts: list[tuple[list[int], Outlook]] = []
    for _ in range(max_new_tokens):
        chosen = choose(outlook, sampler=sampler, seeds=[seeds[lane] for lane in lanes]).tolist()
        going = [row for row, lane in enumerate(lanes) if accept(lane, chosen[row])]
        for row in set(range(len(lanes))) - set(going):
            stopped[lanes[row]] = True
        if not going:
            break
        if len(going) < len(lanes):
            outlook, lanes = retire(outlook, lanes, going=going, parts=parts)
            chosen = [chosen[row] for row in going]
        outlook = follow(model, outlook, torch.tensor(chosen, device=outlook.logits.device))
        for lane, token in zip(lanes, chosen, strict=True):
            tokens[lane].append(token)
    return Generation(tokens=tokens, stopped=stopped, outlook=join([*parts, (lanes, outlook)]))


def check_length_and_seed(max_new_tokens: int, seed: int | Sequence[int], *, lanes: int) -> list[int]:
    """One seed a lane.

    Raises:
        ConfigError: the number of tokens is negative, or there are more or fewer seeds than lanes.
    """
    if max_new_tokens < 0:
        raise ConfigError(f"max_new_tokens={max_new_tokens} must be 0 or more.")
    seeds = list(seed) if isinstance(seed, Sequence) else [seed] * lanes
    if len(seeds) != lanes:
        raise ConfigError(f"{len(seeds)} seeds do not fit {lanes} prompts. Give one for all, or one a prompt.")
    return seeds
