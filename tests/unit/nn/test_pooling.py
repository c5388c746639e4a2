"""Softmax and sums by stretch, against loops."""

import torch

from everlong.nn.pooling import AttentionScore, pool_evenly, softmax_by_stretch, sum_by_stretch

NUMBER = torch.tensor([0, 0, 0, 2, 2, 3])


def test_weights_add_up_to_one_in_each_stretch_however_large_scores_are() -> None:
    scores = torch.tensor([[1.0, 900.0], [2.0, 901.0], [0.0, -900.0], [5.0, 0.0], [5.0, 0.0], [-3.0, 7.0]])
    weights, total = softmax_by_stretch(scores, NUMBER, count=4)
    for stretch in (0, 2, 3):
        own = scores[stretch == NUMBER]
        torch.testing.assert_close(weights[stretch == NUMBER], own.softmax(dim=0))
        torch.testing.assert_close(total[stretch], own.logsumexp(dim=0))
    assert bool((total[1] == -torch.inf).all())


def test_a_stretch_read_in_parts_is_pooled_exactly() -> None:
    """The part that was read first is one item, whose score is the logarithm of its denominator."""
    values, scores = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 2, dtype=torch.float64)
    one = torch.zeros(6, dtype=torch.int64)
    weights, total = softmax_by_stretch(scores, one, count=1)
    whole = sum_by_stretch(values, weights, one, count=1)
    for cut in range(1, 6):
        first, part = softmax_by_stretch(scores[:cut], one[:cut], count=1)
        items = torch.cat([sum_by_stretch(values[:cut], first, one[:cut], count=1), values[cut:]])
        again, joint = softmax_by_stretch(torch.cat([part, scores[cut:]]), one[cut - 1 :], count=1)
        found = sum_by_stretch(items, again, one[cut - 1 :], count=1)
        torch.testing.assert_close(found, whole, rtol=0, atol=1e-14)
        torch.testing.assert_close(joint, total, rtol=0, atol=1e-14)


def test_each_head_sums_up_its_own_coordinates() -> None:
    values = torch.arange(24.0).view(6, 4)
    weights = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [1.0, 1.0]])
    found = sum_by_stretch(values, weights, NUMBER, count=4)
    assert found.tolist() == [[0, 1, 6, 7], [0, 0, 0, 0], [14, 15, 18, 19], [20, 21, 22, 23]]


def test_means_and_largest_numbers() -> None:
    values = torch.randn(6, 3, dtype=torch.float64)
    mean, largest = (pool_evenly(values, NUMBER, count=4, pooling=kind) for kind in ("mean", "max"))
    for stretch in (0, 2, 3):
        torch.testing.assert_close(mean[stretch], values[stretch == NUMBER].mean(dim=0))
        torch.testing.assert_close(largest[stretch], values[stretch == NUMBER].amax(dim=0))
    assert not mean[1].any()
    assert not largest[1].any()


def test_scores_have_a_head_each() -> None:
    score = AttentionScore(6, n_heads=3).double()
    items = torch.randn(5, 6, dtype=torch.float64)
    mapped = torch.tanh(items @ score.map.weight.T + score.map.bias)
    expected = torch.stack([mapped[:, 2 * h : 2 * h + 2] @ score.context[h] for h in range(3)], dim=1)
    torch.testing.assert_close(score(items), expected)
