"""Right before fast: a model whose answer depends on where the stream was cut is not timed at all."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from .case import Case
from .contestant import Contestant


def worst_disagreement(build: Callable[[Case], Contestant], case: Case) -> float:
    """Largest disagreement of a model with itself, over a small and the measured size, training and evaluation."""
    small = replace(case, d_model=32, n_layers=2, d_ff=min(case.d_ff, 64), mem_len=min(case.mem_len, 16), chunk=16)
    worst = 0.0
    for sizes in (replace(small, lanes=2), replace(case, lanes=2)):
        torch.manual_seed(1)
        contestant = build(sizes)
        for training in (False, True):
            contestant.module.train(training)
            worst = max(worst, cut_disagreement(contestant), loss_disagreement(contestant))
    return worst


@torch.no_grad()
def cut_disagreement(contestant: Contestant) -> float:
    """The whole stream at once against chunks of every kind: short, whole, single tokens, longer than a chunk."""
    chunk = contestant.case.chunk
    lengths = [chunk // 3 + 1, 1, 1, chunk, 1, chunk // 2, chunk + 5]
    tokens = _tokens(contestant, sum(lengths))
    whole, _ = contestant.advance(tokens, None)
    pieces, memory = [], None
    for piece in tokens.split(lengths, dim=1):
        logits, memory = contestant.advance(piece, memory)
        pieces.append(logits)
    return _difference(whole, torch.cat(pieces, dim=1))


@torch.no_grad()
def loss_disagreement(contestant: Contestant) -> float:
    """The loss that the training step takes against cross-entropy of the logits, the second chunk of a stream."""
    chunk = contestant.case.chunk
    tokens = _tokens(contestant, 2 * chunk + 1)
    _, memory = contestant.advance(tokens[:, :chunk], None)
    inputs, targets = tokens[:, chunk:-1], tokens[:, chunk + 1 :]
    logits, _ = contestant.advance(inputs, memory)
    loss, _ = contestant.loss(inputs, targets, memory)
    return _difference(F.cross_entropy(logits.flatten(0, 1), targets.flatten()), loss)


def _tokens(contestant: Contestant, time: int) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randint(contestant.case.vocab_size, (contestant.case.lanes, time), generator=generator)


def _difference(expected: Tensor, found: Tensor) -> float:
    scale = expected.abs().max().clamp(min=1.0)
    return ((expected - found).abs().max() / scale).nan_to_num(nan=math.inf).item()
