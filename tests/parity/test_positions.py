"""Token ten million is as exact as token ten: of how far a stream has come, only its place in the grid counts."""

from typing import Any

import pytest
import torch

from everlong.models import create_model

FAR = 10_000_000


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("gru", {}),
        ("lstm", {}),
        ("transformer", {"n_heads": 2, "d_ff": 12, "context": 7}),
        ("longformer", {"n_heads": 2, "d_ff": 12, "window": (3, 7), "dilation": (1, (1, 2)), "n_global": 5}),
        ("sparse-transformer", {"n_heads": 2, "d_ff": 12, "stride": 4, "context": 12, "summary": 1}),
        ("sparse-transformer", {"n_heads": 2, "d_ff": 12, "stride": 5, "context": 15, "pattern": "strided"}),
        ("transformer-xl", {"n_heads": 2, "d_ff": 12, "segment": 4, "mem_len": 6}),
        ("transformer-xl", {"n_heads": 2, "d_ff": 12, "segment": 4, "mem_len": 6, "same_length": True}),
    ],
    ids=str,
)
def test_the_same_memory_ten_million_tokens_later(
    name: str, fields: dict[str, Any], training: bool, dtype: torch.dtype
) -> None:
    model = create_model(name, vocab_size=13, d_model=8, n_layers=2, **fields).to(dtype).train(training)
    tokens = torch.randint(13, (2, 20))
    _, near = model(tokens)
    leaves = near.flatten()
    for chunk in (1, 5, 20):
        far = type(near)(**{**leaves, "position": near.position + FAR})
        expected, _ = model(tokens[:, :chunk], near)
        found, after = model(tokens[:, :chunk], far)
        assert torch.equal(found, expected)
        assert after.position.tolist() == [FAR + 20 + chunk] * 2
        assert after.position.dtype == torch.int64
