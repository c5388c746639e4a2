"""Sizes that cannot be, said with the nearest that can; and what a config derives."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everlong.errors import ConfigError
from everlong.models.bert import BertConfig
from everlong.models.bilstm import BiLSTMConfig
from everlong.models.encoder_decoder import EncoderDecoderConfig
from everlong.models.han import HANConfig
from everlong.models.hierarchical_encoder import HierarchicalEncoderConfig
from everlong.models.hierarchical_transformer import HierarchicalTransformerConfig
from everlong.models.longformer import LongformerConfig
from everlong.models.longformer_encoder import LongformerEncoderConfig
from everlong.models.longformer_encoder_decoder import LongformerEncoderDecoderConfig
from everlong.models.mann import MANNConfig
from everlong.models.ntm import NTMConfig
from everlong.models.recurrent_encoder_decoder import RecurrentEncoderDecoderConfig
from everlong.models.transformer import TransformerConfig
from everlong.models.transformer_xl import TransformerXLConfig


@pytest.mark.parametrize(
    ("config", "fields", "message"),
    [
        (
            TransformerConfig,
            {"d_model": 100, "n_heads": 8},
            r"d_model=100 does not divide into n_heads=8; the",
        ),
        (
            TransformerConfig,
            {"d_model": 12, "n_heads": 4},
            r"a head of d_model=12 / n_heads=4 has an odd width, .*needs d_model=16",
        ),
        (
            TransformerConfig,
            {"context": 0},
            r"TransformerConfig.context = 0 does not fit: .*greater than or equal to 1",
        ),
        (
            MANNConfig,
            {"n_reads": 3, "memory_slots": 2},
            r"n_reads=3 heads write that many slots in a step, of memory_slots=2; give at least as many slots as heads",
        ),
        (NTMConfig, {"memory_slots": 1}, r"NTMConfig.memory_slots = 1 does not fit: .*greater than or equal to 2"),
        (NTMConfig, {"controller": "gru"}, r"NTMConfig.controller = 'gru' does not fit: .*'lstm' or 'feed-forward'"),
        (BertConfig, {"d_model": 100, "n_heads": 8}, r"d_model=100 does not divide into n_heads=8"),
        (BertConfig, {"d_model": 12, "n_heads": 4}, r"has an odd width, .*or choose positions='learned'"),
        (BertConfig, {"positions": "axial"}, r"BertConfig.positions = 'axial' does not fit: .*'rotary' or 'learned'"),
        (BertConfig, {"n_positions": 0}, r"BertConfig.n_positions = 0 does not fit: .*greater than or equal to 1"),
        (BiLSTMConfig, {"d_model": 7}, r"d_model=7 cannot be halved for two directions; give d_model=8"),
        (LongformerConfig, {"d_model": 100, "n_heads": 8}, r"d_model=100 does not divide into n_heads=8"),
        (
            LongformerConfig,
            {"d_model": 12, "n_heads": 4},
            r"a head of d_model=12 / n_heads=4 has an odd width, .*; the next even one needs d_model=16",
        ),
        (
            LongformerConfig,
            {"window": (3, 4, 5), "n_layers": 2},
            r"window=\(3, 4, 5\) is for 3 layers, but n_layers=2; give one number for all layers, or one entry",
        ),
        (LongformerConfig, {"dilation": (1, 2), "n_layers": 3}, r"dilation=\(1, 2\) is for 2 layers, but n_layers=3"),
        (
            LongformerConfig,
            {"dilation": (1, (1, 2, 3)), "n_layers": 2},
            r"dilation gives layer 1 3 numbers, but n_heads=4; give one for all heads, or one for each",
        ),
        (
            LongformerConfig,
            {"window": (4, 0), "n_layers": 2},
            r"layer 1 has window=0 and dilation=\(1, 1, 1, 1\); the least that either can be is 1",
        ),
        (LongformerConfig, {"n_global": -1}, r"LongformerConfig.n_global = -1 does not fit"),
        (
            LongformerEncoderConfig,
            {"window": (4, 7), "n_layers": 2},
            r"window=7 of layer 1 cannot be halved, and half of it is seen to each side; give 8",
        ),
        (EncoderDecoderConfig, {"d_model": 100, "n_heads": 8}, r"d_model=100 does not divide into n_heads=8"),
        (EncoderDecoderConfig, {"d_model": 9, "n_heads": 3}, r"d_model=9 must be even: half of a position's encoding"),
        (
            EncoderDecoderConfig,
            {"d_model": 12, "n_heads": 4, "positions": "rotary"},
            r"has an odd width, .*needs d_model=16, or choose positions='sinusoidal'",
        ),
        (EncoderDecoderConfig, {"positions": "learned"}, r"positions = 'learned' does not fit: .*'sinusoidal' or 'rot"),
        (
            LongformerEncoderDecoderConfig,
            {"norm": "post"},
            r"norm='post' is not for this encoder, whose layers begin with a norm; give 'pre'",
        ),
        (LongformerEncoderDecoderConfig, {"window": 7}, r"window=7 of layer 0 cannot be halved"),
        (LongformerEncoderDecoderConfig, {"d_model": 12}, r"a head of d_model=12 / n_heads=4 has an odd width"),
        (
            RecurrentEncoderDecoderConfig,
            {"d_model": 9},
            r"d_model=9 cannot be halved, and half of a source state reads forwards, half backwards; give 10",
        ),
        (
            RecurrentEncoderDecoderConfig,
            {"score": "bilinear"},
            r"RecurrentEncoderDecoderConfig.score = 'bilinear' does not fit: .*'additive', 'concat', 'cosine', 'dot'",
        ),
        (
            HierarchicalTransformerConfig,
            {"encoder_layers": 4},
            r"encoder_layers=4 of n_layers=4 leave none to read the summaries; give n_layers=5 or more",
        ),
        (
            HierarchicalTransformerConfig,
            {"paragraph_token": 256},
            r"paragraph_token=256 is no token of a vocabulary of 256; give the id that the tokenizer gives",
        ),
        (HierarchicalTransformerConfig, {"segment": 1}, r"segment = 1 does not fit: .*greater than or equal to 2"),
        (HANConfig, {"d_model": 9}, r"d_model=9 cannot be shared by two directions; give d_model=10"),
        (
            HierarchicalEncoderConfig,
            {"layout": "DS"},
            r"layout='DS' must be of S \(each section\) and D \(across sections\) and begin with S",
        ),
        (HierarchicalEncoderConfig, {"layout": "SX"}, r"layout='SX' must be of S .* give SD, SSD or the like"),
        (
            HierarchicalEncoderConfig,
            {"d_model": 12, "n_heads": 4},
            r"a head of d_model=12 / n_heads=4 has an odd width, .*needs d_model=16",
        ),
        (
            HierarchicalEncoderConfig,
            {"inside": "longformer"},
            r"inside = 'longformer' does not fit: that is no encoder that reads a text in one piece\. "
            r"Did you mean 'longformer-encoder'\? Give bert, ",
        ),
        (HierarchicalEncoderConfig, {"inside": "gru"}, r"inside = 'gru' does not fit: that is no encoder that reads a"),
        (HierarchicalEncoderConfig, {"inside": "han"}, r"inside = 'han' does not fit: that is no encoder that reads a"),
        (
            HierarchicalEncoderConfig,
            {"inside_config": {"window": 8}},
            r"inside_config = \{'window': 8\} does not fit: no encoder is inside; leave it out, or give inside='bert'",
        ),
        (
            HierarchicalEncoderConfig,
            {"inside": "longformer-encoder", "inside_config": {"windw": 8}},
            r"inside_config = .* does not fit: LongformerEncoderConfig has no field 'windw'\. Did you mean 'window'\?",
        ),
        (
            HierarchicalEncoderConfig,
            {"inside": "bert", "inside_config": {"n_heads": 3}},
            r"inside_config = .* does not fit: BertConfig: d_model=256 does not divide into n_heads=3; .* 258\.$",
        ),
        (
            HierarchicalEncoderConfig,
            {"inside": "bert", "inside_config": {"vocab_size": 300}},
            r"the encoder inside has the vocab_size of the one around it, which is 256; leave vocab_size out, or give",
        ),
        (HierarchicalEncoderConfig, {"inside": "bert", "vocab_size": 0}, r"\.vocab_size = 0 does not fit: "),
        (TransformerXLConfig, {"d_model": 100, "n_heads": 8}, r"d_model=100 does not divide into n_heads=8"),
        (
            TransformerXLConfig,
            {"d_model": 9, "n_heads": 3},
            r"d_model=9 must be even: half of a distance's",
        ),
        (
            TransformerXLConfig,
            {"same_length": True, "mem_len": 0},
            r"same_length with mem_len=0 would see nothing; give mem_len=1 or more",
        ),
        (TransformerXLConfig, {"cutoffs": (9, 3)}, r"cutoffs \(9, 3\) must rise and lie between 0 and vocab_size=256"),
        (
            TransformerXLConfig,
            {"cutoffs": (3, 256)},
            r"cutoffs \(3, 256\) must rise and lie between 0 and vocab_size=256",
        ),
        (TransformerXLConfig, {"cutoffs": (0, 3)}, r"cutoffs \(0, 3\) must rise and lie between 0 and"),
        (TransformerXLConfig, {"div_val": 2}, r"div_val=2 leaves no width to the last of 1 clusters"),
        (
            TransformerXLConfig,
            {"div_val": 20, "cutoffs": (3, 9), "d_model": 8},
            r"div_val=20 leaves no width to the last of 3 clusters",
        ),
        (
            TransformerXLConfig,
            {"norm": "Pre"},
            r"TransformerXLConfig.norm = 'Pre' does not fit: Input should be 'post' or 'pre'",
        ),
    ],
)
def test_what_cannot_be(config: type[Any], fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(**fields)


def test_derived_sizes() -> None:
    assert TransformerConfig(n_layers=3, context=9).reach == 24
    assert LongformerConfig(n_layers=2, window=(3, 5), dilation=(2, (1, 1, 3, 1)), n_global=0).reach == 4 + 12
    assert LongformerConfig().reach is None
    assert EncoderDecoderConfig(n_layers=3, context=9).reach == 24
    assert LongformerEncoderDecoderConfig(n_layers=3, context=9, window=2).reach == 24
    assert RecurrentEncoderDecoderConfig().reach is None
    assert LongformerEncoderConfig(n_layers=2, window=(2, 8), dilation=(1, (1, 1, 3, 1))).reach == 1 + 12
    assert TransformerXLConfig(n_layers=3, segment=4, mem_len=8).reach == 3 * 8 + 3
    assert TransformerXLConfig(n_layers=3, segment=4, mem_len=8, same_length=True).reach == 3 * 7


def test_windows_by_layer_and_dilations_by_head_survive_json_and_may_come_as_lists() -> None:
    config = LongformerConfig(n_layers=2, window=(3, 5), dilation=(2, (1, 1, 3, 1)))
    assert LongformerConfig.model_validate_json(config.to_json()) == config
    assert LongformerConfig.parse({"n_layers": 2, "window": [3, 5], "dilation": [2, [1, 1, 3, 1]]}) == config
    assert config.dilations == ((2, 2, 2, 2), (1, 1, 3, 1))


@given(
    n_layers=st.integers(1, 5),
    segment=st.integers(1, 9),
    mem_len=st.integers(1, 20),
    same_length=st.booleans(),
    norm=st.sampled_from(["pre", "post"]),
    cutoffs=st.sampled_from([(), (9,), (9, 30)]),
)
def test_any_config_survives_json(**fields: Any) -> None:
    config = TransformerXLConfig(**fields)
    assert TransformerXLConfig.model_validate_json(config.to_json()) == config
    assert config.capacity >= 1
    assert 0 <= config.reach <= config.n_layers * (config.mem_len + config.segment)
