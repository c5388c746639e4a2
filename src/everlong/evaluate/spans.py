"""Which span of a text is the answer, out of logits for its beginning and its end, over all windows of the text.

In a window, p(i, j) = softmax(begin)_i softmax(end)_j, and p(0, 0), of the first token, says that the window has no
answer. Softmaxes of several windows cannot be compared, for each spreads 1 over whatever its window holds. Odds can:

    o(i, j) = p(i, j) / p(0, 0) = exp( begin_i + end_j - begin_0 - end_0 )

If windows are right or wrong independently, that the answer is this span of window w and no other window has one is as
likely as

    p_w(i, j)  prod over v != w of p_v(0, 0)    =    o(i, j)  prod over all windows v of p_v(0, 0)

and that there is none at all, as the product alone. So the answer is the span with the best odds, or none where those
are below 1, and its probability is its odds over the sum of all odds, plus 1 where there may be none. A span counts in
the one window that it is for to find, so that overlaps count nothing twice.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from everlong.data import ExampleStore
from everlong.data.asked import AskedBatch, collate_asked
from everlong.errors import ConfigError
from everlong.evaluate.mode import evaluating
from everlong.models.answerer import Answerer

ROWS = 1024
"""Beginnings that are looked at together."""


@final
@dataclass(frozen=True)
class Candidate:
    """The best span of a window."""

    window: int
    """Its number among the windows of the question."""
    begin: int
    last: int
    """First and last token, counted in the window's row."""
    log_odds: float
    log_total: float
    """Logarithm of the sum of the odds of all spans of the window."""


@final
@dataclass(frozen=True)
class Choice:
    """The answer to a question."""

    best: Candidate | None
    """``None`` where there is none."""
    probability: float


def point(model: Answerer, batch: AskedBatch) -> Float[Tensor, "b t 2"]:
    """Logits of first and last tokens."""
    return model(batch.tokens, lengths=batch.lengths, context=batch.context)


def best_span(logits: Float[Tensor, "t 2"], *, window: int, own: tuple[int, int], end: int, longest: int) -> Candidate:
    """The best span that begins in `own`, ends before `end` and has `longest` tokens at most."""
    first, last = logits.double().unbind(dim=-1)
    best, begin, length = -math.inf, own[0], 0
    totals: list[Tensor] = []
    for at in range(own[0], own[1], ROWS):
        after = min(at + ROWS, own[1])
        ends = F.pad(last[at : min(after + longest - 1, end)], (0, longest), value=-math.inf)
        scores = (first[at:after, None] + ends.unfold(0, longest, 1)[: after - at] - first[0] - last[0]).flatten()
        totals.append(scores.logsumexp(dim=0))
        where = int(scores.argmax())
        if float(scores[where]) > best:
            best, begin, length = float(scores[where]), at + where // longest, where % longest
    return Candidate(window, begin, begin + length, best, float(torch.stack(totals).logsumexp(dim=0)))


def choose(candidates: Sequence[Candidate], *, declines: bool) -> Choice:
    """The answer out of the best spans of all windows, or none where it `declines`, which it may not do otherwise."""
    best = max(candidates, key=lambda one: one.log_odds)
    totals = [one.log_total for one in candidates] + [0.0] * declines
    total = float(torch.tensor(totals, dtype=torch.float64).logsumexp(dim=0))
    if declines and best.log_odds <= 0:
        return Choice(None, math.exp(-total))
    return Choice(best, math.exp(best.log_odds - total))


@final
@dataclass(frozen=True, kw_only=True)
class SpanEvaluation:
    """How a model does on held-out questions, in tokens."""

    n_questions: int
    right: int
    """Questions whose answer is, token for token, one of those given."""
    n_windows: int
    nats: float
    """Negative log-likelihood of the first answers of all windows together."""

    @property
    def bits(self) -> float:
        """Bits for each window."""
        return self.nats / math.log(2) / self.n_windows


def evaluate_spans(
    model: Answerer,
    store: ExampleStore,
    *,
    lanes: int,
    longest: int,
    declines: bool,
    limit: int | None = None,
    point: Callable[[AskedBatch], Float[Tensor, "b t 2"]],
) -> SpanEvaluation:
    """Read all windows of questions, `limit` of them spread evenly over all, and count.

    Raises:
        ConfigError: ``lanes`` or ``limit`` is less than 1.
    """
    chosen = _some_questions(store, lanes=lanes, limit=limit)
    candidates: dict[int, list[Candidate]] = {number: [] for number in chosen.values()}
    right: dict[int, set[tuple[int, int, int]]] = {number: set() for number in chosen.values()}
    nats = 0.0
    order = sorted(chosen, key=lambda row: -store.lengths[row])
    with evaluating(model), torch.no_grad():
        for at in range(0, len(order), lanes):
            rows = order[at : at + lanes]
            examples = [store[row] for row in rows]
            batch = collate_asked(examples).to(model.device)
            logits = point(batch)
            nats += float(span_losses(logits.double(), batch).sum())
            for row, example, its in zip(rows, examples, logits, strict=True):
                number, (begin, end) = chosen[row], example["own"].tolist()
                its_end = int(example["context"][1])
                candidates[number].append(best_span(its, window=row, own=(begin, end), end=its_end, longest=longest))
                right[number] |= {(row, first, last) for first, last in example["answers"].reshape(-1, 2).tolist()}
    told = {number: choose(found, declines=declines).best for number, found in candidates.items()}
    return SpanEvaluation(
        n_questions=len(told),
        right=sum(_is_right(best, right[number]) for number, best in told.items()),
        n_windows=len(order),
        nats=nats,
    )


def span_losses(logits: Float[Tensor, "b t 2"], batch: AskedBatch) -> Float[Tensor, "b 2"]:
    """Nats of the first and of the last token of each window's answer."""
    return F.cross_entropy(logits, batch.answers, reduction="none")


def _some_questions(store: ExampleStore, *, lanes: int, limit: int | None) -> dict[int, int]:
    """The windows of some questions, each with the number of its question."""
    numbers = [int(store[row]["number"][0]) for row in range(len(store))]
    total = numbers[-1] + 1
    count = total if limit is None else min(limit, total)
    for name, size in {"lanes": lanes, "limit": count}.items():
        if size < 1:
            raise ConfigError(f"{name}={size} is too small. Choose 1 or more.")
    chosen = {turn * total // count for turn in range(count)}
    return {row: number for row, number in enumerate(numbers) if number in chosen}


def _is_right(best: Candidate | None, answers: set[tuple[int, int, int]]) -> bool:
    if best is None:
        return all(first == last == 0 for _, first, last in answers)
    return (best.window, best.begin, best.last) in answers
