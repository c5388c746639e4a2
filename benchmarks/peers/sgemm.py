"""The machine's own speed, measured between the contestants so that it drifts as they do."""

import torch
from torch import nn

from ..case import Case
from ..contestant import Contestant
from ..operations import SGEMM_WIDTH


class MatrixProduct(Contestant):
    """A contestant whose training step is one matrix product."""

    def train_step(self) -> None:
        """Multiply into a tensor that exists already, so that no page fault is counted."""
        torch.mm(self.left, self.left, out=self.product)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.left = torch.randn(SGEMM_WIDTH, SGEMM_WIDTH)
        self.product = torch.empty_like(self.left)


def build(case: Case) -> Contestant:
    """It has no model, and reads nothing."""
    return MatrixProduct(module=nn.Module(), case=case, advance=_reads_nothing, loss=_reads_nothing)


def _reads_nothing(*_: object) -> tuple[torch.Tensor, None]:
    raise ValueError("sgemm only takes training steps: leave it out of reading and decoding")
