"""Beam search: the likeliest continuations that a few hypotheses, kept side by side, lead to.

    score(y) = log P(y) / ((5 + n) / 6)^alpha          n tokens, the one that ends it included (Wu et al., 2016, eq. 14)

In every step the likeliest extensions of a lane's hypotheses take the lane's places. One that ends keeps its place and
needs no more computing, so the search is over when all have ended. With one beam it takes the most likely token each
time; with as many beams as there are continuations it finds the best of all. It needs nothing but the contract: a
hypothesis is a lane, and `Memory.select` follows those that stay.

Where nothing is to be repeated, a token that would end n tokens for the second time in a hypothesis does not extend it
(Paulus et al., 2018, arXiv:1705.04304, section 2.5), unless no other could.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from everlong.errors import ConfigError, RunError
from everlong.generate.outlook import check_evaluating
from everlong.memory import Memory
from everlong.models.base import AnyLanguageModel
from everlong.models.seq2seq import SourceMemory


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """A continuation that was found."""

    tokens: list[int]
    """Without the one that ends it."""

    log_probability: float
    """Of all its tokens, the one that ends it included; in nats."""

    score: float
    """The logarithm, for its length."""

    ended: bool
    """Whether it ended, rather than being as long as it may."""


@dataclass(frozen=True)
class _Open:
    """A hypothesis that goes on: which lane it belongs to, what it has so far."""

    lane: int
    tokens: tuple[int, ...]
    log_probability: float


@torch.inference_mode()
def beam_search(
    model: AnyLanguageModel,
    memory: Memory,
    first: Int[Tensor, "b"],
    *,
    beams: int,
    max_new_tokens: int | Sequence[int],
    length_penalty: float = 0.0,
    end: int | None = None,
    no_repeat: int = 0,
) -> list[list[Hypothesis]]:
    """The best continuations of every lane, best first, up to `beams` of them.

    Args:
        model: in evaluation mode.
        memory: where the lanes stand.
        first: the next token of each lane, not read yet; what follows it is searched for.
        beams: hypotheses of a lane that are kept in each step.
        max_new_tokens: how long one may become, the token that ends it included; one for all, or one a lane.
        length_penalty: alpha; 0 compares plain probabilities, and more favours longer continuations.
        end: the token that ends a hypothesis; ``None`` for none.
        no_repeat: how many tokens in a row may not come twice in a hypothesis; 0 lets all.

    Raises:
        ConfigError: a setting is out of range, or the model is in training mode.
        MemoryMismatch: the memory has other lanes or slots than needed.
        ShapeError: a token is outside the vocabulary.
        RunError: the model's scores hold NaN or infinity.
    """
    check_evaluating(model)
    limits = list(max_new_tokens) if isinstance(max_new_tokens, Sequence) else [max_new_tokens] * memory.lanes
    _check(beams, limits, length_penalty, end, no_repeat, vocab=model.config.vocab_size, lanes=memory.lanes)
    done: list[list[Hypothesis]] = [[] for _ in range(memory.lanes)]
    going = [_Open(lane, (), 0.0) for lane in range(memory.lanes)]
    tokens = first
    for length in range(1, max(limits) + 1):
        logits, memory = model(tokens[:, None], memory)
        repeats = [_repeats(one.tokens, no_repeat) for one in going] if no_repeat else []
        values, choices = _extensions(logits[:, -1], beams, repeats)
        rows: list[int] = []
        after: list[_Open] = []
        for lane, row, one in _best(going, values, choices, places=[beams - len(found) for found in done]):
            ends = one.tokens[-1] == end
            if ends or length == limits[lane]:
                score = one.log_probability / ((5 + length) / 6) ** length_penalty
                kept = one.tokens[:-1] if ends else one.tokens
                done[lane].append(
                    Hypothesis(tokens=list(kept), log_probability=one.log_probability, score=score, ended=ends)
                )
            else:
                rows.append(row)
                after.append(one)
        if not after:
            break
        if rows != list(range(memory.lanes)):
            memory = _follow(memory, torch.tensor(rows, device=tokens.device), before=going, after=after)
        going = after
        tokens = torch.tensor([one.tokens[-1] for one in going], device=tokens.device)
    return [sorted(found, key=lambda one: -one.score) for found in done]


def _follow(memory: Memory, rows: Int[Tensor, "n"], *, before: list[_Open], after: list[_Open]) -> Memory:
    """The memory of the hypotheses that go on; sources are not copied where lanes keep their places."""
    if isinstance(memory, SourceMemory) and [one.lane for one in before] == [one.lane for one in after]:
        return memory.select_beside(rows)
    return memory.select(rows)


def _repeats(tokens: tuple[int, ...], length: int) -> list[int]:
    """The tokens after which the last `length` of a hypothesis would have been there before."""
    last = tokens[len(tokens) - length + 1 :]
    return [tokens[at] for at in range(length - 1, len(tokens)) if tokens[at - length + 1 : at] == last]


def _extensions(
    logits: Float[Tensor, "n v"], beams: int, repeats: list[list[int]]
) -> tuple[list[list[float]], list[list[int]]]:
    """The likeliest next tokens of every hypothesis, without those that repeat what was said, if there are others:
    logarithms of their probabilities, and which they are."""
    if not bool(logits.isfinite().any(dim=-1).all()) or bool((logits.isnan() | (logits == torch.inf)).any()):
        raise RunError(
            "the model's scores hold NaN or infinity, so no continuation can be searched for. "
            "Use an earlier checkpoint if training diverged; otherwise begin with a new memory."
        )
    scores = logits.double().log_softmax(dim=-1)
    for row, those in enumerate(repeats):
        without = scores[row].index_fill(0, torch.tensor(those, dtype=torch.int64, device=scores.device), -torch.inf)
        scores[row] = without if bool(without.isfinite().any()) else scores[row]
    best = scores.topk(min(beams, logits.shape[-1]), dim=-1)
    return best.values.tolist(), best.indices.tolist()


def _best(
    going: list[_Open], values: list[list[float]], choices: list[list[int]], *, places: list[int]
) -> list[tuple[int, int, _Open]]:
    """Lane, row and hypothesis of the likeliest extensions, as many of each lane as it has places left."""
    of_lane: dict[int, list[tuple[float, int, int]]] = {}
    for row, one in enumerate(going):
        extended = [
            (one.log_probability + more, row, token)
            for more, token in zip(values[row], choices[row], strict=True)
            if more > -torch.inf
        ]
        of_lane.setdefault(one.lane, []).extend(extended)
    return [
        (lane, row, _Open(lane, (*going[row].tokens, token), total))
        for lane, extended in of_lane.items()
        for total, row, token in sorted(extended, key=lambda found: (-found[0], found[1:]))[: places[lane]]
    ]


def _check(
    beams: int,
    limits: list[int],
    length_penalty: float,
    end: int | None,
    no_repeat: int,
    *,
    vocab: int,
    lanes: int,
) -> None:
    if len(limits) != lanes:
        raise ConfigError(
            f"max_new_tokens has {len(limits)} numbers for {lanes} lanes. Give one for all, or one a lane."
        )
    for name, size in {"beams": beams, "max_new_tokens": min(limits)}.items():
        if size < 1:
            raise ConfigError(f"{name}={size} leaves nothing to search for. Give 1 or more.")
    if not 0.0 <= length_penalty < float("inf"):
        raise ConfigError(f"length_penalty={length_penalty} is no exponent to divide by. Give 0, or up to about 1.")
    if no_repeat < 0:
        raise ConfigError(f"no_repeat={no_repeat} is no number of tokens. Give 0 to let all repeat, or 3 or so.")
    if end is not None and not 0 <= end < vocab:
        raise ConfigError(f"end={end} is outside the vocabulary of {vocab}, so nothing would ever end.")
