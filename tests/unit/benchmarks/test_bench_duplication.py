"""The duplication task's texts, and its table."""

import torch
from benchmarks.duplication import HASHES, table, texts

from everlong.shapes import IGNORE


def test_the_second_half_is_the_first_and_is_all_that_is_asked() -> None:
    tokens, targets = texts(3, half=5, rng=torch.Generator().manual_seed(0))
    assert tokens.shape == targets.shape == (3, 9)
    assert not tokens[:, 0].any()
    assert bool((tokens[:, 1:5] > 0).all())
    assert torch.equal(tokens[:, 5:], tokens[:, :4])
    assert bool((targets[:, :4] == IGNORE).all())
    # The zero that begins the second half, and then the word, symbol by symbol.
    assert torch.equal(targets[:, 4:], tokens[:, :5])


def test_the_table_has_mean_and_worst() -> None:
    rows = [{"accuracy": dict.fromkeys(map(str, HASHES), right)} for right in (90.0, 100.0)]
    assert table(rows).splitlines()[2:] == [f"| {n} | 95.0 | 90.0 |" for n in HASHES]
