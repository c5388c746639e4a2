"""What tokens cost a model that has read only the last `c` tokens before them, beginning with an empty memory.

    l(c, t) = -log P(x_t | x_{t-c} ... x_{t-1})

To read `c` tokens for each target alone costs `c` tokens a target. So targets are taken in blocks of `c / 8`: the
reading begins exactly `c` tokens before the first target of a block and goes on through the block, and its targets have
at least `c` tokens of context and less than 9/8 of that (exactly `c` below 16). That is nine tokens read for a target,
whatever `c` is. All contexts predict the same tokens.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from everlong.data import TokenStore
from everlong.errors import ConfigError
from everlong.evaluate.mode import evaluating
from everlong.evaluate.targets import Targets, block_of
from everlong.memory import Memory
from everlong.models.base import AnyLanguageModel
from everlong.shapes import IGNORE

UNBOUNDED = 2048
"""The longest context that is tried where nothing bounds how far back a model sees."""


def contexts_for(reach: int | None, *, document: int, longest: int | None = None) -> tuple[int, ...]:
    """The contexts to try, powers of two: up to the first that is longer than all layers together see.

    Args:
        reach: ``model.config.reach``.
        document: tokens of the longest document: no context is over half of that.
        longest: the last context, if it is given.

    Raises:
        ConfigError: `longest` is no power of two.

    >>> contexts_for(5, document=1000)
    (1, 2, 4, 8)
    """
    if longest is None:
        beyond = UNBOUNDED if reach is None else 1 << reach.bit_length()
        longest = min(beyond, 1 << max(document // 2, 1).bit_length() - 1)
    elif longest < 1 or longest & (longest - 1):
        below = 1 << max(longest, 1).bit_length() - 1
        raise ConfigError(f"--context {longest} is no power of two. Give {below} or {2 * below}.")
    return tuple(1 << n for n in range(int(math.log2(longest)) + 1))


def losses_with_context(
    model: AnyLanguageModel, store: TokenStore, targets: Targets, context: int, *, lanes: int, chunk: int
) -> NDArray[np.float64]:
    """Nats of each target, in the order of ``targets.places``, after the last `context` tokens alone.

    Args:
        model: reads each window from an empty memory.
        store: the text.
        targets: tokens with `context` tokens or more before them in their document.
        context: tokens before the first target of each window.
        lanes: windows read side by side have together no more than ``lanes * chunk`` tokens, unless one has.
        chunk: tokens in one call.
    """
    step = min(block_of(context), targets.block)
    offsets = np.arange(0, targets.block, step)
    first = (targets.first[:, None] + offsets).ravel()
    # The last window of a block is shorter where the windows do not divide it.
    asked = np.tile(np.minimum(step, targets.block - offsets), len(targets.first))
    width = context + step - 1
    beside = max(1, lanes * chunk // width)
    found = np.zeros((len(first), step))
    with evaluating(model), torch.inference_mode():
        for at in range(0, len(first), beside):
            rows = slice(at, at + beside)
            found[rows] = _window_losses(
                model, store, first[rows], asked[rows], context=context, step=step, chunk=chunk
            )
    return found[np.arange(step) < asked[:, None]]


def losses_by_context(
    model: AnyLanguageModel,
    store: TokenStore,
    targets: Targets,
    contexts: Sequence[int],
    *,
    lanes: int,
    chunk: int,
) -> NDArray[np.float64]:
    """Nats ``[context, target]`` of the same targets with each context."""
    return np.stack([losses_with_context(model, store, targets, c, lanes=lanes, chunk=chunk) for c in contexts])


def _window_losses(
    model: AnyLanguageModel,
    store: TokenStore,
    first: NDArray[np.int64],
    asked: NDArray[np.int64],
    *,
    context: int,
    step: int,
    chunk: int,
) -> NDArray[np.float64]:
    """Nats ``[window, step]`` of windows whose first target is at `first`; 0 beyond the targets that are asked for."""
    there = first[:, None] - context + np.arange(context + step)
    ids = torch.from_numpy(store.tokens[np.minimum(there, store.n_tokens - 1)].astype(np.int64))
    tokens, targets = ids[:, :-1], ids[:, 1:].clone()
    targets[:, : context - 1] = IGNORE
    targets[:, context - 1 :][torch.from_numpy(np.arange(step) >= asked[:, None])] = IGNORE
    lengths = torch.from_numpy(context + asked - 1)
    memory: Memory | None = None
    pieces: list[torch.Tensor] = []
    for begin in range(0, tokens.shape[1], chunk):
        piece = slice(begin, begin + chunk)
        left = (lengths - begin).clamp(0, tokens[:, piece].shape[1])
        losses, memory, _ = model.token_losses(
            tokens[:, piece].to(model.device),
            targets[:, piece].to(model.device),
            memory,
            lengths=left.to(model.device),
        )
        pieces.append(losses[:, max(context - 1 - begin, 0) :].double().cpu())
    return torch.cat(pieces, dim=1).numpy()
