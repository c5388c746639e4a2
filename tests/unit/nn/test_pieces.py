"""Wide maps in pieces against the same maps at once: values, gradients, dropout, precision and memory."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from everlong.nn import pieces
from everlong.nn.blocks import FeedForward
from everlong.nn.pieces import losses_in_pieces
from everlong.nn.reversible import run_reversible
from everlong.shapes import IGNORE
from tests.unit.nn.live import LiveBytes

WIDTH, INNER, VOCAB = 6, 10, 13


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def assert_same(found: Tensor, expected: Tensor, inputs: list[Tensor], *, tolerance: float = 1e-12) -> None:
    """Values, and the gradients of some mixture of them."""
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
    mixture = torch.randn_like(expected)
    ours, theirs = (torch.autograd.grad((value * mixture).sum(), inputs) for value in (found, expected))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance)


def in_pieces(whole: FeedForward, *, piece: int) -> FeedForward:
    """The same weights, applied to so many tokens at a time."""
    made = FeedForward(
        d_model=WIDTH, d_ff=INNER, dropout=whole.dropout, activation=whole.activation, piece=piece
    ).double()
    made.up, made.down = whole.up, whole.down
    return made.train(whole.training)


@pytest.mark.parametrize("activation", [torch.relu_, F.gelu])
@pytest.mark.parametrize("piece", [1, 4, 100])
def test_feed_forward(piece: int, activation: Callable[[Tensor], Tensor]) -> None:
    whole = FeedForward(d_model=WIDTH, d_ff=INNER, dropout=0.0, activation=activation).double()
    x = random(2, 7, WIDTH)
    assert_same(in_pieces(whole, piece=piece)(x), whole(x), [x, *whole.parameters()])


@pytest.mark.parametrize("p", [0.0, 0.4])
def test_dropout_is_drawn_piece_by_piece_and_replayed(p: float) -> None:
    whole = FeedForward(d_model=WIDTH, d_ff=INNER, dropout=p).double()
    pieced, x = in_pieces(whole, piece=4), random(2, 7, WIDTH)
    torch.manual_seed(3)
    inner = [F.dropout(F.relu(whole.up(part)), p) for part in x.flatten(0, 1).split(4)]
    expected = F.dropout(whole.down(torch.cat(inner)).view_as(x), p)
    torch.manual_seed(3)
    found = pieced(x)
    assert_same(found, expected, [x, *whole.parameters()])
    torch.testing.assert_close(pieced.eval()(x), whole.eval()(x), rtol=0, atol=1e-12)


def test_the_backward_pass_draws_nothing_from_the_world() -> None:
    block, x = FeedForward(d_model=WIDTH, d_ff=INNER, dropout=0.4, piece=4).double(), random(2, 7, WIDTH)
    out = block(x).sum()
    state = torch.get_rng_state()
    out.backward()
    assert torch.equal(torch.get_rng_state(), state)


def test_feed_forward_under_autocast() -> None:
    whole = FeedForward(d_model=WIDTH, d_ff=INNER, dropout=0.0)
    pieced = in_pieces(whole.double(), piece=4).float()
    x = torch.randn(2, 7, WIDTH, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = pieced(x), whole(x)
    assert found.dtype == expected.dtype == torch.bfloat16
    assert_same(found, expected, [x, *whole.parameters()], tolerance=0.05)
    assert all(p.dtype == torch.float32 for p in whole.parameters())


def test_the_wide_activation_exists_for_one_piece() -> None:
    x, wide = torch.randn(1, 512, WIDTH, requires_grad=True), 512 * 100 * WIDTH * 4
    peaks: list[int] = []
    for piece in (None, 4):
        block = FeedForward(d_model=WIDTH, d_ff=100 * WIDTH, dropout=0.1, piece=piece)
        with LiveBytes() as live:
            torch.autograd.grad(block(x).sum(), x)
        peaks.append(live.peak)
    assert peaks[0] > wide > 3 * peaks[1]


def test_in_a_reversible_stack() -> None:
    whole = FeedForward(d_model=WIDTH, d_ff=INNER, dropout=0.4).double()
    block = in_pieces(whole, piece=3)
    x = random(2, 5, WIDTH)

    def run(recompute: bool) -> Tensor:
        torch.manual_seed(3)
        return run_reversible([lambda h: (block(h), None)] * 4, (x, x), [()] * 4, recompute=recompute)[0][1]

    assert_same(run(True), run(False), [x, *whole.parameters()])


@pytest.fixture(params=[1, 4, 100])
def rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Rows of logits in a piece."""
    monkeypatch.setattr(pieces, "_rows_of_logits", lambda _weight: request.param)
    return request.param


def test_losses(rows: int) -> None:
    hidden, weight, bias = random(9, WIDTH), random(VOCAB, WIDTH), random(VOCAB)
    targets = torch.randint(VOCAB, (9,))
    targets[[2, 8]] = IGNORE
    expected = -F.linear(hidden, weight, bias).log_softmax(dim=1).gather(1, targets.clamp(min=0)[:, None])[:, 0]
    expected = torch.where(targets == IGNORE, 0.0, expected)
    found = losses_in_pieces(hidden, (weight, bias), targets)
    assert_same(found, expected, [hidden, weight, bias])
    assert found[2] == found[8] == 0
    (gradient,) = torch.autograd.grad(losses_in_pieces(hidden, (weight, bias), targets).sum(), hidden)
    assert not gradient[[2, 8]].any(), rows


def test_losses_of_large_logits_stay_finite(rows: int) -> None:
    hidden = torch.full((5, WIDTH), 1e3, requires_grad=True)
    weight, bias = torch.randn(VOCAB, WIDTH), torch.zeros(VOCAB)
    losses = losses_in_pieces(hidden, (weight, bias), torch.arange(5))
    (gradient,) = torch.autograd.grad(losses.sum(), hidden)
    assert bool(losses.isfinite().all() and gradient.isfinite().all()), rows


def test_losses_under_autocast_are_float32(rows: int) -> None:
    hidden, weight = torch.randn(9, WIDTH, requires_grad=True), torch.randn(VOCAB, WIDTH, requires_grad=True)
    bias, targets = nn.Parameter(torch.zeros(VOCAB)), torch.randint(VOCAB, (9,))
    with torch.autocast("cpu", torch.bfloat16):
        found = losses_in_pieces(hidden, (weight, bias), targets)
        expected = F.cross_entropy(F.linear(hidden, weight, bias).float(), targets, reduction="none")
    assert found.dtype == torch.float32
    assert torch.equal(found, expected), rows
    assert_same(found, expected, [hidden, weight, bias], tolerance=0.05)


def test_all_logits_never_exist_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "_rows_of_logits", lambda _weight: 4)
    hidden, weight = torch.randn(64, 2, requires_grad=True), torch.randn(500, 2)
    with LiveBytes() as live:
        losses = losses_in_pieces(hidden, (weight, torch.zeros(500)), torch.randint(500, (64,)))
        torch.autograd.grad(losses.sum(), hidden)
    assert live.peak < 64 * 500 * 4 / 3


@pytest.mark.parametrize(("vocab", "expected"), [(256, 8192), (8192, 256), (1 << 20, 64)])
def test_pieces_fit_the_cache_and_products_are_not_too_thin(vocab: int, expected: int) -> None:
    assert pieces._rows_of_logits(torch.empty(vocab, 1)) == expected
