"""The shape checker has teeth, and minds shapes alone."""

from typing import Any, Self

import pytest
import torch
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from everlong.clock import tick
from everlong.models.gru import GRUMemory
from everlong.nn.window import push
from tests.shape_checks import shapes_only

Row = Float[Tensor, "t"]


@pytest.fixture(autouse=True)
def _checked(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--unchecked"):
        pytest.skip("shapes are not checked")


def test_functions_are_checked() -> None:
    clock = tick(torch.tensor([3, 3]), time=2, starts=None, lengths=None)
    with pytest.raises(TypeCheckError, match=r"the parameters of everlong.nn.window.push"):
        push(torch.zeros(2, 4, 5), torch.zeros(3, 2, 5), clock=clock)


def test_memories_are_checked_when_they_are_made() -> None:
    with pytest.raises(TypeCheckError, match="parameter 'position'"):
        GRUMemory(position=torch.zeros(2), hidden=torch.zeros(2, 1, 4))
    with pytest.raises(TypeCheckError, match="parameter 'hidden'"):
        GRUMemory(position=torch.zeros(2, dtype=torch.int64), hidden=torch.zeros(3, 1, 4))


@pytest.mark.parametrize(
    ("hint", "left"),
    [
        (Row, Row),
        (int, Any),
        (Self, Any),
        (tuple[Row, int], tuple[Row, Any]),
        (tuple[Row, ...], tuple[Row, ...]),
        (tuple[int, str], Any),
        (Row | None, Row | None),
        (int | None, Any),
        (dict[str, Row], dict[Any, Row]),
    ],
)
def test_only_what_speaks_of_shapes_is_kept(hint: Any, left: Any) -> None:
    assert shapes_only(hint) == left
