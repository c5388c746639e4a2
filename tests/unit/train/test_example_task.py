"""A task with examples, and a batch, of its own: a label for each sequence."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from everlong.checkpoint import newest_good_checkpoint
from everlong.data import ByteTokenizer, Example, ExampleStore, example_batches
from everlong.errors import ConfigError, DataError, RunError
from everlong.memory import Memory
from everlong.train import Measurement, TrainConfig, train
from everlong.train.example_task import ExampleTask
from everlong.train.objective import Objective
from everlong.train.task import Given
from everlong.train.tasks import TASKS, Entry
from tests.unit.train.conftest import Bench, figures, settings, tiny
from tests.unit.train.test_train import PowerCutError, cut_power

BYTES = ByteTokenizer()


@dataclass(frozen=True)
class Labelled:
    """Sequences of one length, each with a label."""

    tokens: Tensor
    labels: Tensor

    @property
    def n_targets(self) -> int:
        return len(self.labels)

    @property
    def n_tokens(self) -> int:
        return self.tokens.numel()

    def to(self, device: torch.device | str) -> "Labelled":
        return Labelled(self.tokens.to(device), self.labels.to(device))


class LabelLoss(Objective[Labelled]):
    def forward(
        self, window: Sequence[Labelled], memory: Memory | None
    ) -> tuple[Tensor, Memory | None, dict[str, Tensor]]:
        nats = [F.cross_entropy(self.guess(batch), batch.labels, reduction="sum") for batch in window]
        return torch.stack(nats).sum(), memory, {}

    def guess(self, batch: Labelled) -> Tensor:
        model: Any = self.model
        return model(batch.tokens)[0][:, -1]


class Labels(ExampleTask[Labelled]):
    def __init__(self, given: Given) -> None:
        self.loss = LabelLoss(given.model, precision=given.config.precision)
        super().__init__(self.loss, given)

    def collate(self, examples: list[Example]) -> Labelled:
        tokens, labels = (torch.tensor([e[name].tolist() for e in examples]) for name in ("tokens", "label"))
        return Labelled(tokens, labels[:, 0])

    def measure_examples(self, valid: ExampleStore) -> Measurement:
        with torch.no_grad():
            parts = [self.collate(part) for part in example_batches(valid, lanes=3, limit=self.config.eval_examples)]
            right = sum(int((self.loss.guess(part).argmax(-1) == part.labels).sum()) for part in parts)
        return Measurement(bits=1 - right / len(valid), figures={"valid_right": right})


@pytest.fixture(autouse=True)
def _labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "lm", Entry(make=Labels, material=ExampleStore, learners=lambda: ["gru"]))


def store(folder: Path, count: int = 24) -> ExampleStore:
    """The label is 1 where the sequence begins with a 7."""
    examples = ({"tokens": [7 if n % 2 else 3, n, 5], "label": [n % 2]} for n in range(count))
    return ExampleStore.build(examples, ["tokens", "label"], folder, about={"labels": ["no", "yes"]})


def learning(**changes: Any) -> TrainConfig:
    fields = {"steps": 7, "lanes": 4, "eval_every": 2, "save_every": 3, "window": 2, "accumulate": 2}
    return settings(**{**fields, **changes})


def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    data, valid = store(tmp_path / "data"), store(tmp_path / "valid", 7)
    whole, other = tiny(), tiny(seed=1)
    train(whole, data, valid, learning(), tmp_path / "whole", tokenizer=BYTES)
    with pytest.raises(PowerCutError):
        train(tiny(), data, valid, learning(), tmp_path / "broken", tokenizer=BYTES, report=cut_power(5))
    train(other, data, valid, learning(), tmp_path / "broken", tokenizer=BYTES, resume=True)
    assert other.weights_digest() == whole.weights_digest()
    assert figures(tmp_path / "broken") == figures(tmp_path / "whole")
    checkpoint = newest_good_checkpoint(tmp_path / "broken")
    assert checkpoint is not None
    assert checkpoint.state["cursor"] == {"batch": 28, "lanes": 4, "seed": 0, "store": data.digest}
    message = r"has data setting n_examples=24, now it is 23\. Resume with n_examples=24"
    with pytest.raises(RunError, match=message):
        train(tiny(), store(tmp_path / "less", 23), None, learning(), tmp_path / "whole", tokenizer=BYTES, resume=True)


def test_it_learns(tmp_path: Path) -> None:
    data, valid = store(tmp_path / "data"), store(tmp_path / "valid", 7)
    config = learning(steps=60, lr=0.05, eval_every=0, save_every=0)
    assert train(tiny(dropout=0.0), data, valid, config, tmp_path / "run", tokenizer=BYTES).best_bits == 0
    assert figures(tmp_path / "run")[-1]["valid_right"] == 7


def test_what_does_not_fit_is_refused_before_anything_is_written(bench: Bench, tmp_path: Path) -> None:
    data, out = store(tmp_path / "data"), tmp_path / "run"
    with pytest.raises(ConfigError, match="task=lm learns from examples, and was given a corpus"):
        train(tiny(), bench.data, None, learning(), out, tokenizer=BYTES)
    with pytest.raises(ConfigError, match="task=lm learns from examples, and was given a corpus"):
        train(tiny(), data, bench.valid, learning(), out, tokenizer=BYTES)
    other = ExampleStore.build([{"tokens": [1]}], ["tokens"], tmp_path / "other")
    with pytest.raises(
        DataError, match=r"examples to measure have tokens, those to learn from have tokens, label\. Bu"
    ):
        train(tiny(), data, other, learning(), out, tokenizer=BYTES)
    with pytest.raises(ConfigError, match=r"was given examples without a tokenizer\. Give the one that made"):
        train(tiny(), data, None, learning(), out)
    with pytest.raises(ConfigError, match="the model has vocab_size=9, the tokenizer has 256"):
        train(tiny(vocab_size=9), data, None, learning(), out, tokenizer=BYTES)
    with pytest.raises(ConfigError, match="lstm cannot learn task=lm, which is for gru"):
        train(tiny("lstm"), data, None, learning(), out, tokenizer=BYTES)
    assert not out.exists()
