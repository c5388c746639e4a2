"""Speeds: every model in its turn, every stretch counted once."""

import numpy as np
import pytest
import torch

from everlong.compare import speeds
from everlong.compare.speeds import measure_models
from everlong.models import create_model


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speeds, "ENDS", (16, 32))
    monkeypatch.setattr(speeds, "WRITTEN", 3)
    monkeypatch.setattr(speeds, "READ_BEFORE", 5)


def test_models_take_turns_and_read_all_of_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {name: create_model(name, d_model=8, n_layers=1).eval() for name in ("gru", "lstm")}
    read: list[tuple[str, int]] = []
    for name, model in made.items():
        model.register_forward_pre_hook(lambda _, given, name=name: read.append((name, given[0].shape[1])))
    clock = iter(range(1000))
    monkeypatch.setattr(speeds.time, "perf_counter", lambda: float(next(clock)))
    first, second = measure_models(made, np.arange(20), chunk=12, rounds=2)
    names = [name for name, _ in read]
    assert names.index("lstm") < len(names) - 1 - names[::-1].index("gru")
    # The first round reads two chunks; each other one everything, with no call over a mark; then 5 and 3 for writing.
    of_gru = [time for name, time in read if name == "gru"]
    assert of_gru == [12, 4, 8, 5, 1, 1, 1] + [12, 4, 12, 4, 5, 1, 1, 1] * 2
    # Each look at the clock is a second later: a mark after each stretch.
    assert [one.microseconds for one in first.stretches] == [(1e6 / 16, 1e6 / 16)] * 2
    assert first.reading == (32 / 2, 32 / 2)
    assert first.decoding == (3.0, 3.0)
    assert (first.model, second.model) == ("gru", "lstm")


def test_sizes_are_those_of_one_session() -> None:
    model = create_model("transformer", d_model=8, n_layers=1, n_heads=2, d_ff=8, context=16).eval()
    (found,) = measure_models({"transformer": model}, [1, 2, 3], chunk=8, rounds=1)
    assert found.memory_bytes == model.init_memory(1).nbytes
    assert found.reach == model.config.reach
    assert found.parameters == sum(one.numel() for one in model.parameters())
    assert not torch.is_inference_mode_enabled()
