"""Computing again: the same chance, precision and choices, and a clear word where that cannot be."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from everlong.nn.replay import Moment, Replay, decide


def test_a_moment_brings_back_chance_precision_and_choices() -> None:
    def draw() -> tuple[Tensor, torch.dtype, int]:
        chosen = decide(lambda: int(torch.randint(1 << 40, ())))
        return torch.rand(3), (torch.ones(2, 2) @ torch.ones(2, 2)).dtype, chosen

    with torch.autocast("cpu", torch.bfloat16):
        moment = Moment(torch.device("cpu"))
        with moment.first():
            chosen = decide(lambda: 7)
            noise = torch.rand(3)
    state = torch.get_rng_state()
    for _ in range(2):
        with moment.again():
            assert decide(lambda: 8) == chosen == 7
            assert torch.equal(torch.rand(3), noise)
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    assert torch.equal(torch.get_rng_state(), state)
    assert draw()[1] == torch.float32


def test_choices_have_no_gradient_and_are_made_anew_elsewhere() -> None:
    x = torch.ones(2, requires_grad=True)
    assert not decide(lambda: 2 * x).requires_grad
    assert decide(lambda: 1) == 1
    assert decide(lambda: 2) == 2


def walk_back(function: Callable[..., tuple[Tensor, Any]], *given: Any) -> Tensor:
    """The gradient of a call that is replayed."""
    x = torch.linspace(-1, 1, 6).requires_grad_()
    replay = Replay(function, x, given)

    def bring(number: int) -> Tensor:
        if not replay.has(number):
            replay.again(x)
        return replay.take(number)

    with saved_tensors_hooks(replay.leave_out, bring):
        out, _ = replay.first(x)
    (gradient,) = torch.autograd.grad(out.sum(), x)
    return gradient


def test_what_the_graph_left_out_is_found_again() -> None:
    weight = torch.full((6,), 2.0, requires_grad=True)
    found = walk_back(lambda x, w: ((x * w).tanh() * x.exp(), None), weight)
    x = torch.linspace(-1, 1, 6).requires_grad_()
    (expected,) = torch.autograd.grad(((2 * x).tanh() * x.exp()).sum(), x)
    torch.testing.assert_close(found, expected)


def test_in_place_on_its_own_tensors_is_allowed() -> None:
    found = walk_back(lambda x: (F.relu(x * 2, inplace=True), None))
    assert found.tolist() == [0, 0, 0, 2, 2, 2]


def test_its_input_is_not_its_own() -> None:
    with pytest.raises(RuntimeError, match=r"wrote to its input, which others use as well\. Make a new tensor"):
        walk_back(lambda x: (x.detach().relu_() + x, None))


def test_a_tensor_that_a_gradient_needs_may_not_be_written_to() -> None:
    def careless(x: Tensor) -> tuple[Tensor, None]:
        inner = x.exp()
        out = inner * 2
        inner.add_(1)
        return out, None

    with pytest.raises(RuntimeError, match=r"wrote to a float32\[6\] that its gradient needs as it was before"):
        walk_back(careless)


@pytest.mark.parametrize("changes", ["shape", "count"])
def test_something_else_the_second_time(changes: str) -> None:
    calls: list[int] = []

    def moody(x: Tensor) -> tuple[Tensor, None]:
        calls.append(1)
        if len(calls) == 1:
            return x.sin().sum(), None
        return (x[:3].sin().sum() if changes == "shape" else x.sin().sin().sum()), None

    said = r"float32\[6\] became float32\[3\]" if changes == "shape" else "1 saved tensors became 2"
    with pytest.raises(RuntimeError, match=rf"computed something else when it was called again: {said}\. Let it"):
        walk_back(moody)
