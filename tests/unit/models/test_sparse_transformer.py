"""Configs of the Sparse Transformer that cannot be."""

from typing import Any

import pytest

from everlong.errors import ConfigError
from everlong.models import create_model


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"d_model": 12, "n_heads": 4}, r"a head of d_model=12 / n_heads=4 has an odd width"),
        ({"summary": 32}, r"4 sub-blocks of summary=32 columns do not fit into a row of stride=64; give stride=128"),
        ({"heads": "split", "d_model": 6, "n_heads": 3}, r"n_heads=3 cannot be split into two halves; give an even"),
        ({"heads": "interleaved", "n_layers": 1}, r"one layer has none to take turns with; give n_layers=2 or more"),
    ],
    ids=str,
)
def test_sizes_that_do_not_fit_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create_model("sparse-transformer", **fields)
