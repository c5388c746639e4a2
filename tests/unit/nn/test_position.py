"""Encodings of distance and index against their formulas."""

import pytest
import torch

from everlong.nn.position import Rotary, Sinusoids
from tests.reference.attention import rotate_one_by_one, sinusoid


@pytest.mark.parametrize("clamp", [0, 3])
def test_sinusoids_descend_and_are_not_interleaved(clamp: int) -> None:
    table = Sinusoids(width=6, clamp=clamp)
    for count in (1, 5, 3, 9):
        expected = [sinusoid(distance, width=6, clamp=clamp) for distance in range(count - 1, -1, -1)]
        found = table(count, like=torch.empty(0, dtype=torch.float64))
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_tables_follow_the_type_they_are_used_in(dtype: torch.dtype) -> None:
    like = torch.empty(0, dtype=dtype)
    sinusoids, rotary = Sinusoids(width=4, clamp=0), Rotary(width=4, base=10000.0)
    sinusoids(9, like=torch.empty(0)), rotary.angles(9, like=torch.empty(0))
    assert sinusoids(5, like=like).dtype == rotary.angles(5, like=like).dtype == dtype
    assert len(sinusoids(5, like=like)) == len(rotary.angles(5, like=like)) == 5


def test_far_distances_are_exact_in_float32() -> None:
    """Tables are made in float64: in float32 the angle of distance 100,000 would be wrong in the third digit."""
    found = Sinusoids(width=4, clamp=0)(100_001, like=torch.empty(0))[0]
    torch.testing.assert_close(found, torch.tensor(sinusoid(100_000, width=4)), rtol=0, atol=1e-7)


def test_rotation_is_its_twin() -> None:
    rotary, x = Rotary(width=6, base=100.0), torch.randn(2, 5, 3, 6, dtype=torch.float64)
    found = rotary(x, rotary.angles(5, like=x))
    for index in range(5):
        expected = rotate_one_by_one(x[1, index, 2], index=index, base=100.0)
        torch.testing.assert_close(found[1, index, 2], expected, rtol=0, atol=1e-14)


def test_rotated_scores_depend_on_differences_alone() -> None:
    rotary = Rotary(width=8, base=10000.0)
    query, key = torch.randn(2, 1, 1, 1, 8, dtype=torch.float64)
    angles = rotary.angles(60, like=query)

    def score(at: int, to: int) -> float:
        return float((rotary(query, angles[at : at + 1]) * rotary(key, angles[to : to + 1])).sum())

    assert score(7, 3) == pytest.approx(score(57, 53), abs=1e-12)
    assert score(7, 3) != pytest.approx(score(7, 4), abs=1e-3)


@pytest.mark.parametrize("lanes", [(), (2,)])
def test_gradients_of_rotation(lanes: tuple[int, ...]) -> None:
    """Of vectors that lie apart, turned alike in all lanes or in each by its own angles."""
    rotary, index = Rotary(width=6, base=100.0), torch.arange(3.0, dtype=torch.float64)
    angle = (index.expand(*lanes, 3)[..., None] + torch.rand(3)).double()
    x = torch.randn(2, 3, 2, 8, dtype=torch.float64, requires_grad=True)
    angles = torch.stack([angle.cos(), angle.sin()], dim=-2)
    assert torch.autograd.gradcheck(lambda x: rotary(x[..., 1:7], angles), x)


def test_tables_made_while_generating_serve_training() -> None:
    weight = torch.randn(4, requires_grad=True)
    sinusoids, rotary = Sinusoids(width=4, clamp=0), Rotary(width=4, base=10000.0)
    with torch.inference_mode():
        sinusoids(3, like=weight), rotary.angles(3, like=weight)
    (sinusoids(3, like=weight) * weight).sum().backward()
    rotary(weight.expand(1, 3, 1, 4), rotary.angles(3, like=weight)).sum().backward()
    assert weight.grad is not None


def test_angles_of_any_index_are_those_of_the_table_and_exact_far_out() -> None:
    rotary, x = Rotary(width=8, base=10000.0), torch.randn(2, 5, 3, 8)
    index = torch.arange(5).expand(2, 5)
    assert torch.equal(rotary.angles_of(index, like=x), rotary.angles(5, like=x).expand(2, -1, -1, -1))
    query, key = torch.randn(2, 2, 5, 3, 8).unbind()
    near, far = (
        (rotary(query, rotary.angles_of(index + at, like=x)) * rotary(key, rotary.angles_of(index + at - 3, like=x)))
        for at in (3, 10_000_000)
    )
    torch.testing.assert_close(far.sum(dim=-1), near.sum(dim=-1), rtol=0, atol=1e-5)


def test_speeds_of_whole_turns_close_the_circle() -> None:
    """Of indices only the remainder counts, and scores go on over the seam as if there were none."""
    rotary, x = Rotary(width=8, base=10000.0, period=1000), torch.randn(2, 2, 3, 8, dtype=torch.float64)
    index = torch.tensor([[5, 7]])
    turned = rotary(x, rotary.angles_of(index, like=x))
    assert torch.equal(rotary(x, rotary.angles_of(index + 7_000_000, like=x)), turned)
    torch.testing.assert_close(rotary.angles_of(index, like=x)[0], rotary.angles(8, like=x)[index[0]], rtol=0, atol=0)
    seam = rotary(x, rotary.angles_of(index + 994, like=x))
    torch.testing.assert_close((seam[:, 0] * seam[:, 1]).sum(-1), (turned[:, 0] * turned[:, 1]).sum(-1))
    plain = Rotary(width=8, base=10000.0).angles(2, like=x)[1]
    assert float((rotary.angles(2, like=x)[1] - plain).abs().max()) < 2e-2
