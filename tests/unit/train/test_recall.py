"""Recall tasks are learned, within seconds, from what `train` is given."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from everlong.data.synthetic import InductionHeads, Rules, SelectiveCopy
from everlong.models import create_model
from everlong.train import TrainConfig, train

LAYERS: dict[str, Any] = {"d_model": 64, "n_layers": 2, "n_heads": 2, "d_ff": 128, "context": 64}


@pytest.mark.parametrize(
    ("name", "sizes", "rules", "steps", "rate"),
    [
        ("transformer", LAYERS, SelectiveCopy(noise=12, items=2, symbols=6), 400, 2e-3),
        ("gru", {"d_model": 64, "n_layers": 1}, InductionHeads(length=32, symbols=8), 250, 5e-3),
    ],
    ids=lambda value: value.name if isinstance(value, Rules) else None,
)
def test_a_small_model_learns(
    tmp_path: Path, name: str, sizes: dict[str, Any], rules: Rules, steps: int, rate: float
) -> None:
    torch.manual_seed(0)
    model = create_model(name, **rules.model_sizes, **sizes)
    once: dict[str, Any] = {"eval_every": 0, "save_every": 0, "eval_sequences": 100}
    config = TrainConfig(task=rules.name, steps=steps, lanes=32, lr=rate, warmup=50, clip=1.0, **once)
    train(model, rules, None, config, tmp_path / "run")
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["valid_wrong_answers"] < 0.05
