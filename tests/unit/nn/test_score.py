"""Score functions and their attention against their one-by-one twins, and the facts of their papers."""

from typing import get_args

import pytest
import torch

from everlong.nn.score import (
    Additive,
    Concat,
    Cosine,
    Dot,
    General,
    Location,
    ScaledDot,
    Score,
    ScoreName,
    attend,
    make_score,
    masked_softmax,
)
from tests.reference.score import attend_one, score_one

D, E, S, T = 6, 6, 5, 3
NAMES: tuple[ScoreName, ...] = get_args(ScoreName)


def make(name: ScoreName) -> Score:
    return make_score(name, width=D, n_positions=S).double()


def some(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("name", NAMES)
def test_equal_to_the_twin_values_and_gradients(name: ScoreName) -> None:
    score, query, keys, values = make(name), some(2, T, D), some(2, S, E), some(2, S, 4)
    visible = torch.tensor([[True] * S, [True, False, True, False, False]])[:, None]
    scores = score(query, keys)
    out, weights = attend(scores, values, visible=visible)
    slow_scores = torch.stack(
        [
            torch.stack([torch.stack([score_one(score, q, k, place) for place, k in enumerate(lane)]) for q in asked])
            for asked, lane in zip(query, keys, strict=True)
        ]
    )
    torch.testing.assert_close(scores, slow_scores, rtol=0, atol=1e-12)
    slow = [
        [attend_one(list(slow_scores[b, t]), list(values[b]), visible[b, 0].tolist()) for t in range(T)]
        for b in range(2)
    ]
    expected = torch.stack([torch.stack([found for found, _ in lane]) for lane in slow])
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
    for b in range(2):
        for t in range(T):
            torch.testing.assert_close(weights[b, t], torch.stack(slow[b][t][1]), rtol=0, atol=1e-12)
    mixture, inputs = torch.randn_like(out), [query, keys, values, *score.parameters()]
    found, wanted = (
        torch.autograd.grad((result * mixture).sum(), inputs, allow_unused=True, materialize_grads=True)
        for result in (out, expected)
    )
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_small_differences(name: ScoreName) -> None:
    score, query, keys = make(name), some(1, 2, D), some(1, 4, E)
    assert torch.autograd.gradcheck(lambda q, k: score(q, k), (query, keys))


@pytest.mark.parametrize("name", NAMES)
def test_one_key_has_all_the_weight(name: ScoreName) -> None:
    values = some(2, 1, 4)
    out, weights = attend(make(name)(some(2, T, D), some(2, 1, E)), values)
    assert bool((weights == 1).all())
    assert torch.equal(out, values.expand(-1, T, -1))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "location"])
def test_equal_keys_share_alike(name: ScoreName) -> None:
    weights = attend(make(name)(some(2, T, D), some(2, 1, E).expand(-1, S, -1)), some(2, S, 4)).weights
    torch.testing.assert_close(weights, torch.full_like(weights, 1 / S), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_prepared_once_serves_every_query(name: ScoreName) -> None:
    score, query, keys = make(name), some(2, T, D), some(2, S, E)
    prepared = score.prepare(keys)
    assert prepared.shape == (2, S, score.prepared_width)
    one_by_one = [score.compare(query[:, t : t + 1], prepared) for t in range(T)]
    torch.testing.assert_close(torch.cat(one_by_one, dim=1), score(query, keys), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("score", "widths"),
    [
        (Additive(3, 7, width=4), (3, 7)),
        (Concat(3, 7, width=4), (3, 7)),
        (General(3, 7), (3, 7)),
        (Location(3, n_positions=9), (3, 7)),
    ],
)
def test_queries_and_keys_may_differ_in_width(score: Score, widths: tuple[int, int]) -> None:
    assert score(torch.randn(2, T, widths[0]), torch.randn(2, S, widths[1])).shape == (2, T, S)


def test_concat_is_additive_with_its_two_maps_side_by_side() -> None:
    concat, additive = Concat(3, 7, width=4), Additive(3, 7, width=4)
    with torch.no_grad():
        concat.both.weight.copy_(torch.cat([additive.query.weight, additive.key.weight], dim=1))
        concat.out.copy_(additive.out)
    query, keys = torch.randn(2, T, 3), torch.randn(2, S, 7)
    torch.testing.assert_close(concat(query, keys), additive(query, keys))


def test_additive_is_linear_where_tanh_is() -> None:
    """For small arguments tanh(x) = x, so the score is ``v W q + v U k``: the weights do not depend on the query."""
    score = Additive(D, E, width=4).double()
    with torch.no_grad():
        for weight in (score.query.weight, score.key.weight):
            weight.mul_(1e-5)
    query, keys = some(2, T, D), some(2, S, E)
    expected = (query @ (score.out @ score.query.weight))[..., None] + (keys @ (score.out @ score.key.weight))[:, None]
    torch.testing.assert_close(score(query, keys), expected, rtol=1e-7, atol=0)


def test_general_with_the_identity_is_dot_and_scaled_dot_is_smaller_by_the_root_of_the_width() -> None:
    general, query, keys = General(D, D).double(), some(2, T, D), some(2, S, D)
    with torch.no_grad():
        general.key.weight.copy_(torch.eye(D))
    dot = Dot(D)(query, keys)
    torch.testing.assert_close(general(query, keys), dot, rtol=0, atol=1e-12)
    torch.testing.assert_close(ScaledDot(D)(query, keys) * D**0.5, dot, rtol=0, atol=1e-12)


def test_cosine_asks_for_directions_alone() -> None:
    score, query, keys = Cosine(D, strength=3.0).double(), some(1, 1, D), some(1, S, D)
    torch.testing.assert_close(score(100 * query, keys * 50), score(query, keys), rtol=0, atol=1e-4)
    assert score(query, query).item() == pytest.approx(3.0, abs=1e-4)
    assert score(query, torch.zeros_like(query)).item() == 0.0


def test_location_looks_at_places_alone_and_at_none_behind_the_last() -> None:
    score, query, keys = Location(D, n_positions=4).double(), some(2, T, D), some(2, 7, E)
    assert torch.equal(score(query, keys), score(query, keys.flip(1)))
    weights = attend(score(query, keys), keys).weights
    assert bool((weights[..., :4] > 0).all())
    assert not bool(weights[..., 4:].any())


def test_hidden_keys_have_no_weight_and_who_sees_nothing_reads_zeros() -> None:
    scores, values = some(2, T, S), some(2, S, 4)
    visible = torch.tensor([[False] * S, [False, True, False, True, False]])[:, None]
    with torch.no_grad():
        scores[0], scores[1, :, 0] = torch.nan, torch.nan
    out, weights = attend(scores, values, visible=visible)
    assert not bool(weights[~visible.expand_as(weights)].any())
    assert not bool(out[0].any())
    torch.testing.assert_close(weights[1].sum(dim=-1), torch.ones(T, dtype=torch.float64))
    gradients = torch.autograd.grad(out.square().sum(), [scores, values])
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


def test_every_query_may_have_a_mask_of_its_own() -> None:
    scores = some(1, S, S)
    weights = masked_softmax(scores, torch.ones(S, S, dtype=torch.bool).tril()[None])
    torch.testing.assert_close(weights, scores.masked_fill(torch.ones(S, S).triu(1).bool(), -torch.inf).softmax(-1))


def test_no_keys_at_all_are_zeros() -> None:
    out, weights = attend(make("dot")(some(2, T, D), some(2, 0, E)), some(2, 0, 4))
    assert weights.shape == (2, T, 0)
    assert torch.equal(out, torch.zeros(2, T, 4, dtype=torch.float64))
