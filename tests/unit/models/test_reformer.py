"""Sizes of a Reformer that cannot be, and what its config derives."""

from typing import Any

import pytest

from everlong.errors import ConfigError
from everlong.models.reformer import ReformerConfig
from everlong.models.reformer_encoder import ReformerEncoderConfig


@pytest.mark.parametrize("config", [ReformerConfig, ReformerEncoderConfig])
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"d_model": 100, "n_heads": 8}, r"d_model=100 does not divide into n_heads=8"),
        (
            {"d_model": 12, "n_heads": 4},
            r"make heads 3 wide, and an odd number of coordinates has no pairs to rotate; give positions='axial'",
        ),
        ({"n_buckets": 7}, r"n_buckets=7 is odd, but each direction and its opposite are buckets; give 8"),
        ({"n_buckets": 40000}, r"n_buckets = 40000 does not fit: .*less than or equal to 32766"),
        ({"n_hashes": 0}, r"n_hashes = 0 does not fit: .*greater than or equal to 1"),
        ({"bucket_size": 0}, r"bucket_size = 0 does not fit"),
        ({"window": 0}, r"window = 0 does not fit"),
        ({"layers": ()}, r"layers = \(\) does not fit: .*at least 1 item"),
        ({"layers": ("dense",)}, r"layers.0 = 'dense' does not fit: Input should be 'local' or 'lsh'"),
        ({"layers": ("local",)}, r"none of n_layers=4 with layers=\('local',\) hashes; give layers=\('lsh',\)"),
        ({"n_layers": 1}, r"none of n_layers=1 with layers=\('local', 'lsh'\) hashes; .* or more layers"),
        ({"axial_widths": (100, 100)}, r"widths \(100, 100\) do not make vectors of d_model=256; give two widths"),
        ({"axial_shape": (0, 9)}, r"axial tables of \(0, 9\) rows and widths \(128, 128\) do not make"),
        ({"ff_piece": 0}, r"ff_piece = 0 does not fit"),
    ],
    ids=str,
)
def test_what_cannot_be(config: type[Any], fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(**fields)


def test_context_of_nothing() -> None:
    with pytest.raises(ConfigError, match=r"ReformerConfig.context = 0 does not fit"):
        ReformerConfig(context=0)


def test_derived_sizes() -> None:
    config = ReformerConfig(n_layers=3, window=5, context=20)
    assert config.kinds == ("local", "lsh", "local")
    assert config.reach == 4 + 19 + 4
    assert ReformerConfig(d_model=15, n_heads=3, positions="axial").table_widths == (7, 8)
    assert ReformerEncoderConfig().reach is None
    assert ReformerConfig.model_validate_json(config.to_json()) == config
