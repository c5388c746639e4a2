"""The receptive field of a model as its gradients show it, to be held against what its config declares.

    n(t, s) = | d loss(t) / d e(s) |        e(s): the vector that the embedding makes of token s

A token `s` that the loss at `t` does not depend on has a gradient of exactly 0, so the farthest other one is a fact and
not a matter of a threshold. Two things gradients do not see: choices among tokens (which bucket a token falls into,
which ones a memory keeps), and influences too small for the type of the weights. Float64 has room for those.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from everlong.errors import ConfigError, ShapeError
from everlong.evaluate.mode import evaluating
from everlong.models import Encoder
from everlong.shapes import Tokens


@final
@dataclass(frozen=True, kw_only=True)
class ReceptiveField:
    """How much the losses at some tokens depend on tokens at each distance."""

    back: tuple[float, ...]
    """Mean norm of the gradients by distance into the past, from 0, the token itself, on."""
    ahead: tuple[float, ...]
    """The same into the future, from 1 on; empty where no token ahead matters."""

    @property
    def farthest(self) -> int:
        """The farthest distance, to either side, at which any gradient is not 0."""
        return max(len(self.back) - 1, len(self.ahead))

    def within(self, share: float) -> int:
        """The distance into the past within which so much of the sum of all norms lies."""
        sums = np.cumsum(self.back)
        return int(np.searchsorted(sums, share * sums[-1]))

    def exceeds(self, reach: int | None) -> bool:
        """Whether tokens matter that are farther away than a config declares."""
        return reach is not None and self.farthest > reach

    def doublings(self) -> list[dict[str, Any]]:
        """Mean norms over distances into the past of 0, 1, 2 and 3, 4 to 7, and so on, as JSON values."""
        rows: list[dict[str, Any]] = []
        first = 0
        while first < len(self.back):
            last = min(max(2 * first - 1, first), len(self.back) - 1)
            rows.append({"first": first, "last": last, "norm": float(np.mean(self.back[first : last + 1]))})
            first = last + 1
        return rows


def input_gradients(model: nn.Module, tokens: Tokens, targets: Tokens, at: Sequence[int]) -> Float[Tensor, "p t"]:
    """Norms of the gradients of the losses at some tokens with respect to the vectors of all tokens.

    Args:
        model: an encoder, or any model under the contract; what makes its tokens into vectors is called `embedding`.
        tokens: ``[1 t]``, read in one call.
        targets: ``[1 t]``, whose negative log-likelihood the losses are.
        at: the tokens at whose places losses are taken, one row of the result each.

    Raises:
        ConfigError: the model has no part called `embedding`.
        ShapeError: it is called on more or fewer vectors than there are tokens.
    """
    embedding = getattr(model, "embedding", None)
    if not isinstance(embedding, nn.Module):
        raise ConfigError(
            f"{type(model).__name__} has no part called embedding, whose vectors gradients are taken of. "
            "Give a model that has one."
        )
    vectors: list[Tensor] = []

    def catch(_module: object, _given: object, out: Tensor) -> Tensor:
        vectors.append(out.detach().requires_grad_())
        return vectors[-1]

    handle = embedding.register_forward_hook(catch)
    try:
        with evaluating(model), torch.enable_grad():
            logits: Tensor = model.logits(tokens) if isinstance(model, Encoder) else model(tokens)[0]
    finally:
        handle.remove()
    count = sum(out.shape[:-1].numel() for out in vectors)
    if len(vectors) != 1 or count != tokens.numel():
        raise ShapeError(
            f"the embedding made {count} vectors of {tokens.numel()} tokens, so theirs are not known. "
            "Give as many tokens as make whole sections."
        )
    losses = F.cross_entropy(logits[0], targets[0], reduction="none")
    rows = [torch.autograd.grad(losses[t], vectors, retain_graph=True)[0] for t in at]
    return torch.stack([row.flatten(0, -2).norm(dim=-1) for row in rows]).detach()


def receptive_field(model: nn.Module, tokens: Tokens, targets: Tokens, at: Sequence[int]) -> ReceptiveField:
    """How the losses at some tokens depend on tokens by distance, averaged over those that have one at that distance.

    Args:
        model: as for `input_gradients`.
        tokens: as for `input_gradients`; there should be more than the model can see.
        targets: as for `input_gradients`.
        at: as for `input_gradients`.

    Raises:
        ConfigError: the model has no part called `embedding`.
        ShapeError: it is called on more or fewer vectors than there are tokens.
    """
    norms = input_gradients(model, tokens, targets, at).cpu().numpy()
    back = [row[: t + 1][::-1] for row, t in zip(norms, at, strict=True)]
    ahead = [row[t + 1 :] for row, t in zip(norms, at, strict=True)]
    return ReceptiveField(back=_by_distance(back), ahead=_by_distance(ahead))


def _by_distance(rows: Sequence[np.ndarray[Any, np.dtype[np.float64]]]) -> tuple[float, ...]:
    """Means over rows of different lengths, up to the last that is not 0."""
    size = max(len(row) for row in rows)
    sums, counts = np.zeros(size), np.zeros(size)
    for row in rows:
        sums[: len(row)] += row
        counts[: len(row)] += 1
    means = sums / np.maximum(counts, 1)
    return tuple(means[: int(np.max(np.flatnonzero(means), initial=-1)) + 1].tolist())
