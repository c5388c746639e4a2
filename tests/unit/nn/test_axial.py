"""Axial positions against their formula."""

import torch

from everlong.nn.axial import AxialPositions


def test_every_position_is_two_digits() -> None:
    axial = AxialPositions(shape=(3, 4), widths=(2, 5))
    position = torch.arange(24).view(2, 12)
    found = axial(position)
    for i in range(24):
        expected = torch.cat([axial.low.weight[i % 3], axial.high.weight[i // 3 % 4]])
        assert torch.equal(found[i // 12, i % 12], expected)
    assert len(found[0].unique(dim=0)) == 12


def test_no_document_is_too_long() -> None:
    axial = AxialPositions(shape=(3, 4), widths=(2, 5))
    far = torch.tensor([[2**40, 2**62 + 7]])
    assert torch.equal(axial(far), axial(far % 12))


def test_both_tables_learn() -> None:
    axial = AxialPositions(shape=(3, 4), widths=(2, 5))
    axial(torch.arange(12)[None]).square().sum().backward()
    assert all(table.grad is not None and bool(table.grad.all()) for table in axial.parameters())
