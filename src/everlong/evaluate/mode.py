"""Models at rest: no dropout while something is measured, and afterwards as before."""

from collections.abc import Generator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Generator[None]:
    """The model in evaluation mode inside the block, and afterwards, or after an error, in the mode it was in."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
