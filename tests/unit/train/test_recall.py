"""Recall tasks are learned, within seconds, from what `train` is given."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from everlong.data.synthetic import InductionHeads, MultiQueryOverwrite, MultiQueryRecall, Rules, SelectiveCopy
from everlong.models import create_model
from everlong.train import TrainConfig, train

LAYERS: dict[str, Any] = {"d_model": 64, "n_layers": 2, "n_heads": 2, "d_ff": 128, "context": 64}

RECURRENT: dict[str, Any] = {"d_model": 64, "n_layers": 1}


@pytest.mark.parametrize(
    ("name", "sizes", "rules", "steps", "rate"),
    [
        ("transformer", LAYERS, SelectiveCopy(noise=12, items=2, symbols=6), 400, 2e-3),
        ("gru", RECURRENT, InductionHeads(length=32, symbols=8), 250, 5e-3),
        ("gru", RECURRENT, MultiQueryRecall(length=16, pairs=2, symbols=12), 800, 5e-3),
        ("gru", RECURRENT, MultiQueryOverwrite(length=10, pairs=2, updates=1, symbols=8), 600, 5e-3),
    ],
    ids=lambda value: value.name if isinstance(value, Rules) else None,
)
def test_a_small_model_learns(
    tmp_path: Path, name: str, sizes: dict[str, Any], rules: Rules, steps: int, rate: float
) -> None:
    torch.manual_seed(0)
    model = create_model(name, **rules.model_sizes, **sizes)
    once: dict[str, Any] = {"lanes": 32, "warmup": 50, "clip": 1.0, "eval_every": 0, "save_every": 0}
    config = TrainConfig.parse({**once, "task": rules.name, "steps": steps, "lr": rate})
    train(model, rules, None, config, tmp_path / "run")
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["valid_wrong_answers"] < 0.05
