"""Verdicts: what differed, where and by how much."""

from collections.abc import Mapping

import torch
from torch import Tensor

from everlong.errors import ContractViolation
from everlong.memory import Memory

TOLERANCE = 1e-12
GRADIENT_TOLERANCE = 1e-10


def same_numbers(found: Tensor, expected: Tensor, *, what: str, tolerance: float = TOLERANCE) -> None:
    """Agree up to rounding, relative to the largest expected number where that is above 1.

    Raises:
        ContractViolation: the numbers differ, or one of them is not finite.
    """
    if found.shape != expected.shape or found.dtype != expected.dtype:
        raise ContractViolation(
            f"{what} are {found.dtype} {list(found.shape)} instead of {expected.dtype} {list(expected.shape)}"
        )
    if found.numel() == 0:
        return
    found, expected = found.detach(), expected.detach()
    gap = (found - expected).abs().nan_to_num(nan=torch.inf)
    worst = int(gap.argmax())
    if gap.flatten()[worst] > tolerance * max(1.0, float(expected.abs().nan_to_num(posinf=0.0).max())):
        at = [int(i) for i in torch.unravel_index(torch.tensor(worst), found.shape)]
        raise ContractViolation(
            f"{what} differ by {float(gap.flatten()[worst]):.1e} at index {at}: "
            f"{float(found.flatten()[worst]):.6g} instead of {float(expected.flatten()[worst]):.6g}"
        )


def same_gradients(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, what: str) -> None:
    """Agree up to rounding, relative to the largest number of each gradient.

    Raises:
        ContractViolation: the gradient of some parameter differs, or is not finite.
    """
    largest = max((float(g.abs().max()) for g in expected.values()), default=0.0)
    for name, gradient in expected.items():
        gap = float((found[name] - gradient).abs().nan_to_num(nan=torch.inf).max())
        # A parameter whose gradient cancels to nothing is judged by the size of what cancelled.
        size = max(float(gradient.abs().max()), 1e-3 * largest)
        if gap > GRADIENT_TOLERANCE * size:
            raise ContractViolation(f"{what}: the gradient of {name} differs by {gap / size:.1e} of its size")


def same_bits(found: Memory, expected: Memory, *, what: str, lanes: Tensor | None = None) -> None:
    """Agree in every bit of every leaf, in all lanes or in some.

    Raises:
        ContractViolation: a leaf differs.
    """
    mine, theirs = found.flatten(), expected.flatten()
    for name, leaf in theirs.items():
        other = mine[name]
        if lanes is not None:
            other, leaf = other[lanes], leaf[lanes]
        if other.dtype != leaf.dtype or not torch.equal(_bits(other), _bits(leaf)):
            changed = int((_bits(other) != _bits(leaf)).any(dim=-1).sum()) if other.shape == leaf.shape else "all"
            raise ContractViolation(f"{what}: {changed} of {leaf.numel()} numbers of '{name}' changed")


def _bits(leaf: Tensor) -> Tensor:
    """Bytes ``[n, width of a number]``, in which NaN equals itself."""
    leaf = leaf.detach().cpu().contiguous()
    return leaf.reshape(-1).view(torch.uint8).reshape(leaf.numel(), -1) if leaf.numel() else torch.zeros(0, 1)
