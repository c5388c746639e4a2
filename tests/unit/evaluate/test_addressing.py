"""Sharpness, places, and reads that go where was written, on weights made by hand."""

import pytest
import torch
from torch import Tensor

from everlong.evaluate.addressing import count_addressed_right, places, sharpness
from everlong.evaluate.trace import Trace


def on(*slots: int, of: int = 6) -> Tensor:
    """Weights of one head that goes from slot to slot."""
    return torch.eye(of)[list(slots)][:, None]


def made(writes: Tensor, reads: Tensor) -> Trace:
    return Trace(answers=torch.zeros(len(writes), 1), writes=writes, reads=reads, usage=None)


@pytest.mark.parametrize(
    ("weights", "sharp"),
    [([0.0, 1, 0, 0], 1.0), ([0.25] * 4, 0.25), ([0.0, 0.3, 0, 0], 1.0), ([0.1, 0.1, 0, 0], 0.5), ([0.0] * 4, 0.0)],
)
def test_sharpness_does_not_depend_on_how_much_weight_there_is(weights: list[float], sharp: float) -> None:
    assert float(sharpness(torch.tensor([[weights]]))) == pytest.approx(sharp)


def test_places_are_told_head_by_head() -> None:
    weights = torch.tensor([[[0.0, 0.75, 0.25], [0.5, 0.5, 0.0]], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.5]]])
    first, second = places(weights)
    assert first == {"slot": [1, 0], "weight": [0.75, 0.0], "sharpness": [0.625, 0.0]}
    assert second == {"slot": [0, 2], "weight": [0.5, 0.5], "sharpness": [0.5, 1.0]}


def test_an_answer_is_addressed_right_where_its_vector_was_written() -> None:
    writes, reads = on(3, 1, 4, 0, 0), on(5, 5, 5, 3, 4)
    # Shown at steps 0 and 1, asked for at steps 3 and 4: the second answer reads what was written at step 2.
    assert count_addressed_right(made(writes, reads), {3: 0, 4: 1}) == 1
    assert count_addressed_right(made(writes, reads), {3: 0, 4: 2}) == 2
    assert count_addressed_right(made(writes, reads), {}) == 0


def test_any_head_will_do() -> None:
    writes = torch.cat([on(3, 1, 0, 0), on(2, 2, 0, 0)], dim=1)
    reads = torch.cat([on(0, 0, 2, 0), on(5, 5, 5, 1)], dim=1)
    assert count_addressed_right(made(writes, reads), {2: 0, 3: 1}) == 2


@pytest.mark.parametrize("share", [0.5, 0.51])
def test_more_than_half_of_the_weight_must_be_there(share: float) -> None:
    soft = share * on(3, 3) + (1 - share) * on(2, 2)
    for writes, reads in ((soft, on(3, 3)), (on(3, 3), soft)):
        assert count_addressed_right(made(writes, reads), {1: 0}) == (share > 0.5)


def test_a_memory_that_nothing_was_written_to_is_addressed_by_nobody() -> None:
    nowhere, evenly = torch.zeros(2, 1, 6), torch.full((2, 1, 6), 1 / 6)
    assert count_addressed_right(made(nowhere, nowhere), {1: 0}) == 0
    assert count_addressed_right(made(evenly, evenly), {1: 0}) == 0
