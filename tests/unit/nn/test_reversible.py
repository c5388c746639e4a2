"""Reversible layers against plain autograd: gradients, memory, and everything that could make a second time differ."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from everlong.nn.replay import decide
from everlong.nn.reversible import Branch, run_reversible
from tests.unit.nn.live import LiveBytes

WIDTH, LAYERS, SLOTS = 6, 3, 4


class Attention(nn.Module):
    """A branch with a past, which leaves entries to remember."""

    def __init__(self, width: int = WIDTH, *, dropout: float = 0.3) -> None:
        super().__init__()
        self.norm, self.project = nn.LayerNorm(width), nn.Linear(width, 2 * width)
        self.dropout = dropout

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        query, entry = self.project(self.norm(x)).chunk(2, dim=-1)
        line = torch.cat([past, entry], dim=1)
        return F.dropout(F.scaled_dot_product_attention(query, line, line), self.dropout, self.training), entry


class Rectifier(nn.Module):
    """A branch that is given nothing and leaves nothing."""

    def __init__(self, width: int = WIDTH, *, dropout: float = 0.3) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = dropout

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        inner = F.dropout(F.relu(self.up(self.norm(x)), inplace=True), self.dropout, self.training)
        return self.down(inner), None


class Stack(nn.Module):
    """Layers with rings, read in chunks whose memory is not detached."""

    def __init__(self, *, dropout: float = 0.3) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            kind(WIDTH, dropout=dropout) for _ in range(LAYERS) for kind in (Attention, Rectifier)
        )

    def forward(self, x: Tensor, *, chunks: Sequence[int], recompute: bool) -> tuple[Tensor, list[Tensor]]:
        pasts = [x.new_zeros(x.shape[0], SLOTS, WIDTH)] * LAYERS
        out: list[Tensor] = []
        for chunk in x.split(list(chunks), dim=1):
            given = [part for past in pasts for part in ((past,), ())]
            (y1, y2), left = run_reversible(self.branches, (chunk, chunk), given, recompute=recompute)
            pasts = [torch.cat([p, e], dim=1)[:, -SLOTS:] for p, e in zip(pasts, left[::2], strict=True)]
            out.append(torch.cat([y1, y2], dim=-1))
        return torch.cat(out, dim=1), pasts


def tokens(time: int = 9) -> Tensor:
    return torch.randn(2, time, WIDTH, dtype=torch.float64, requires_grad=True)


def gradients(net: Stack, x: Tensor, *, recompute: bool, of: str = "out", chunks: Sequence[int] = (4, 1, 4)) -> Any:
    torch.manual_seed(5)
    out, pasts = net(x, chunks=chunks, recompute=recompute)
    value = out if of == "out" else torch.stack(pasts)[: LAYERS if of == "pasts" else 1]
    return torch.autograd.grad(value.sin().sum(), [x, *net.parameters()], materialize_grads=True)


def assert_same(found: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("recompute", [True, False])
def test_the_equations(recompute: bool) -> None:
    net, x = Stack(dropout=0.0).double(), tokens()
    past = torch.randn(2, SLOTS, WIDTH, dtype=torch.float64)
    x1, x2 = x, x.flip(1)
    found, left = run_reversible(net.branches, (x1, x2), [(past,), ()] * LAYERS, recompute=recompute)
    for n in range(LAYERS):
        out, entry = net.branches[2 * n](x2, past)
        x1 = x1 + out
        x2 = x2 + net.branches[2 * n + 1](x1)[0]
        assert torch.equal(left[2 * n], entry)
        assert left[2 * n + 1] is None
    assert torch.equal(found[0], x1)
    assert torch.equal(found[1], x2)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("of", ["out", "pasts", "first past"])
def test_gradients_are_those_of_plain_autograd(of: str, dropout: float) -> None:
    """Through what branches are given and what they leave too, over chunks, where the end of the stack has no loss."""
    net, x = Stack(dropout=dropout).double(), tokens()
    assert_same(gradients(net, x, recompute=True, of=of), gradients(net, x, recompute=False, of=of))


def test_the_world_s_chance_is_as_if_nothing_had_been_repeated() -> None:
    net, x = Stack().double(), tokens()
    draws: list[Tensor] = []
    for recompute in (True, False):
        gradients(net, x, recompute=recompute)
        draws.append(torch.rand(5))
    assert torch.equal(*draws)


@pytest.mark.parametrize("of", ["out", "first entries"])
def test_a_gradient_may_be_asked_for_twice(of: str) -> None:
    net, x = Stack().double(), tokens()
    out, pasts = net(x, chunks=(9,), recompute=True)
    value = (out if of == "out" else pasts[0]).sin().sum()
    first, second = (
        torch.autograd.grad(value, list(net.parameters()), retain_graph=True, materialize_grads=True) for _ in range(2)
    )
    assert any(bool(gradient.any()) for gradient in first)
    assert_same(second, first)


def test_gradients_of_gradients() -> None:
    net, x = Stack(dropout=0.0).double(), tokens(3)

    def penalty(recompute: bool) -> tuple[Tensor, ...]:
        out, _ = net(x, chunks=(3,), recompute=recompute)
        (slope,) = torch.autograd.grad(out.sin().sum(), x, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), [x, *net.parameters()])

    assert_same(penalty(True), penalty(False))


def test_frozen_inputs_and_frozen_weights() -> None:
    net, x = Stack().double(), tokens().detach()
    net.branches[1].requires_grad_(False)
    trained = [p for p in net.parameters() if p.requires_grad]
    found: list[Any] = []
    for recompute in (True, False):
        torch.manual_seed(5)
        out, _ = net(x, chunks=(4, 5), recompute=recompute)
        found.append(torch.autograd.grad(out.sin().sum(), trained))
    assert_same(*found)


def test_without_gradients_it_is_a_plain_loop() -> None:
    net, x = Stack().double().eval(), tokens()
    with torch.no_grad():
        out, _ = net(x, chunks=(4, 5), recompute=True)
    assert not out.requires_grad
    assert torch.equal(out, net(x, chunks=(4, 5), recompute=True)[0])


def test_autocast_is_replayed_and_streams_stay_float32() -> None:
    net, x, kinds = Stack(), tokens().detach().float().requires_grad_(), list[Any]()
    net.branches[3].up.register_forward_hook(lambda _module, _given, out: kinds.append(out.dtype))
    found: list[Any] = []
    for recompute in (True, False):
        torch.manual_seed(5)
        with torch.autocast("cpu", torch.bfloat16):
            out, _ = net(x.bfloat16(), chunks=(4, 5), recompute=recompute)
        assert out.dtype == torch.float32
        found.append(torch.autograd.grad(out.square().mean(), list(net.parameters())))
    assert kinds == [torch.bfloat16] * 6
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.05, atol=2e-3)


def test_choices_are_those_of_the_forward_pass() -> None:
    """The taken back stream differs in its last bits, and so would buckets of values that lie at their edges."""
    made: list[Tensor] = []

    def hashed(x: Tensor) -> tuple[Tensor, None]:
        def choose() -> Tensor:
            made.append((x * 1e16).long() % 2)
            return made[-1]

        return torch.where(decide(choose) == 1, x.sin(), x.cos()), None

    x = tokens()
    found: list[Any] = []
    for recompute in (True, False):
        (y1, y2), _ = run_reversible([hashed] * 6, (x, x), [()] * 6, recompute=recompute)
        found.append(torch.autograd.grad((y1 * y2).sum(), [x]))
    assert_same(*found)
    assert len(made) == 12
    assert all(not choice.requires_grad for choice in made)


def held(depth: int, *, recompute: bool) -> tuple[int, int]:
    """Bytes held when the forward pass is over, and at most. All layers have the same weights, and leave nothing."""
    attention, past = Attention(), torch.zeros(1, SLOTS, WIDTH)
    pair: list[Branch] = [lambda x: (attention(x, past)[0], None), Rectifier()]
    x = torch.randn(1, 128, WIDTH, requires_grad=True)
    with LiveBytes() as live:
        (y1, y2), _ = run_reversible(pair * depth, (x, x), [()] * 2 * depth, recompute=recompute)
        loss = (y1 * y2).sum()
        after_forward = live.now
        loss.backward()
    return after_forward, live.peak


def test_memory_does_not_grow_with_depth() -> None:
    assert held(16, recompute=True) == held(4, recompute=True)
    (shallow, _), (deep, peak) = held(4, recompute=False), held(16, recompute=False)
    assert deep > 3.5 * shallow
    assert peak > 8 * held(16, recompute=True)[1]


class Scaled(nn.Module):
    """A branch with one weight and one argument."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor, by: Tensor) -> tuple[Tensor, None]:
        return x * by * self.weight, None


@pytest.mark.parametrize("what", ["weight", "argument"])
def test_what_is_needed_again_may_not_change(what: str) -> None:
    branch, by = Scaled(), torch.ones(WIDTH)
    x = torch.randn(1, 2, WIDTH, requires_grad=True)
    (y, _), _ = run_reversible([branch, branch], (x, x), [(by,)] * 2, recompute=True)
    with torch.no_grad():
        (branch.weight if what == "weight" else by).add_(1)
    with pytest.raises(RuntimeError, match=r"a weight or an argument of Scaled was changed in place after the forward"):
        y.sum().backward()


def test_outputs_may_not_change() -> None:
    x = torch.randn(1, 2, WIDTH, requires_grad=True)
    (y, _), _ = run_reversible([Scaled()] * 2, (x, x), [(torch.ones(WIDTH),)] * 2, recompute=True)
    y.add_(1)
    with pytest.raises(RuntimeError, match="an output of a reversible stack was changed in place, and the backward"):
        y.sum().backward()


def test_half_precision_loses_what_was_rounded_off() -> None:
    x = torch.randn(1, 2, WIDTH, dtype=torch.bfloat16, requires_grad=True)
    run_reversible([], (x, x), [], recompute=False)
    with pytest.raises(TypeError, match=r"reversible streams of torch\.bfloat16 cannot be taken back.*autocast"):
        run_reversible([], (x, x), [], recompute=True)
