"""How many threads to compute with: on a busy machine, threads that wait for each other are slower than one alone."""

import time
from collections.abc import Callable, Sequence

import torch

from everlong.models.base import AnyLanguageModel

TRY = 0.5
"""Seconds that each number of threads is tried for, at least."""


def fastest_threads(model: AnyLanguageModel, *, lanes: int, chunk: int) -> int:
    """The number of threads, all or one, with which the model learns fastest right now; the model stays as it is."""
    tokens = torch.zeros(lanes, chunk, dtype=torch.int64)

    def learn() -> None:
        losses, _, _ = model.token_losses(tokens, tokens)
        torch.autograd.grad(losses.sum(), list(model.parameters()), allow_unused=True)

    before = torch.get_num_threads()
    try:
        return fastest(learn, candidates=sorted({1, before}, reverse=True), choose=torch.set_num_threads)
    finally:
        torch.set_num_threads(before)


def fastest(work: Callable[[], None], *, candidates: Sequence[int], choose: Callable[[int], None]) -> int:
    """The candidate under which the work takes least time, each after a first time that is not counted."""
    if len(candidates) == 1:
        return candidates[0]
    seconds: dict[int, float] = {}
    for candidate in candidates:
        choose(candidate)
        work()
        began, rounds = time.perf_counter(), 0
        while time.perf_counter() - began < TRY:
            work()
            rounds += 1
        seconds[candidate] = (time.perf_counter() - began) / rounds
    return min(candidates, key=seconds.__getitem__)
