"""Texts in sections for the encoders that read in those, and what it is to equal a twin."""

import torch
from torch import Tensor, nn

TEXTS = [[[1, 2, 3], [4], [5, 6, 7, 8, 9, 0, 1]], [], [[3, 3]], [[1], [2, 5]]]
"""The second is empty."""


def packed(texts: list[list[list[int]]], *, time: int = 14) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, lengths and the beginnings of sentences."""
    tokens, sections = torch.full((len(texts), time), 10), torch.zeros(len(texts), time, dtype=torch.bool)
    for lane, text in enumerate(texts):
        at = 0
        for sentence in text:
            sections[lane, at] = True
            tokens[lane, at : at + len(sentence)] = torch.tensor(sentence)
            at += len(sentence)
    return tokens, torch.tensor([sum(map(len, text)) for text in texts]), sections


def require_same(model: nn.Module, found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> None:
    """Hidden states and document vectors are the twin's, and so are the gradients of every weight below the head."""
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    rng = torch.Generator().manual_seed(1)
    mixtures = [torch.randn(x.shape, dtype=torch.float64, generator=rng) for x in found]
    weights = [p for name, p in model.named_parameters() if not name.startswith(("head.", "inside.head."))]
    ours, theirs = (
        torch.autograd.grad(sum((x * mix).sum() for x, mix in zip(pair, mixtures, strict=True)), weights)
        for pair in (found, expected)
    )
    for one, two in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-11)
