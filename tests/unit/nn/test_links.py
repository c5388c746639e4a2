"""Temporal links: bounds, replay of what was written in its order, and derivatives."""

import torch
from torch import Tensor

from everlong.nn.links import follow, follow_back, link, link_back, precede, precede_back


def test_rows_and_columns_of_links_sum_to_at_most_one() -> None:
    links, precedence = torch.zeros(2, 6, 6, dtype=torch.float64), torch.zeros(2, 6, dtype=torch.float64)
    for step in range(200):
        written = torch.randn(2, 6, dtype=torch.float64).mul(3).softmax(dim=-1) * ((step % 3) / 2)
        links, precedence = link(links, precedence, written), precede(precedence, written)
        assert float(links.min()) >= 0
        assert float(links.sum(dim=1).max()) <= 1 + 1e-12
        assert float(links.sum(dim=2).max()) <= 1 + 1e-12
        assert not bool(links.diagonal(dim1=1, dim2=2).any())
        assert float(precedence.min()) >= 0
        assert float(precedence.sum(dim=1).max()) <= 1 + 1e-12


def test_what_was_written_is_replayed_in_its_order_and_against_it() -> None:
    order = [3, 0, 4, 1]
    links, precedence = torch.zeros(1, 6, 6), torch.zeros(1, 6)
    for slot in order:
        written = torch.zeros(1, 6)
        written[0, slot] = 1
        links, precedence = link(links, precedence, written), precede(precedence, written)
    for way, path in ((1, order), (0, order[::-1])):
        head = torch.zeros(1, 1, 6)
        head[0, 0, path[0]] = 1
        for slot in path[1:]:
            head = follow(links, head)[way]
            assert head.flatten().tolist() == [float(n == slot) for n in range(6)]
        assert not bool(follow(links, head)[way].any())


def test_a_step_that_writes_nothing_changes_nothing() -> None:
    links, precedence = torch.rand(1, 4, 4), torch.rand(1, 4)
    links.diagonal(dim1=1, dim2=2).zero_()
    assert torch.equal(link(links, precedence, torch.zeros(1, 4)), links)
    assert torch.equal(precede(precedence, torch.zeros(1, 4)), precedence)


def test_derivatives_are_those_of_autograd() -> None:
    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, dtype=torch.float64).requires_grad_()

    links, precedence, written, weights = rand(2, 5, 5), rand(2, 5), rand(2, 5), rand(2, 3, 5)
    after, last = link(links, precedence, written), precede(precedence, written)
    back, on = follow(after, weights)
    grads = [torch.randn_like(out) for out in (after, last, back, on)]
    expected = torch.autograd.grad([after, last, back, on], [links, precedence, written, weights], grads)
    with torch.no_grad():
        d_after = grads[0].clone()
        d_weights = follow_back(after, weights, grads[2], grads[3], d_after)
        d_links, d_precedence, d_written = link_back(links, precedence, written, d_after)
        d_preceded, d_written_too = precede_back(precedence, written.sum(dim=-1, keepdim=True), grads[1])
    ours = (d_links, d_precedence + d_preceded, d_written + d_written_too, d_weights)
    for mine, theirs in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)
