"""The task of telling labels: what it refuses, what it measures, and a run that was killed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from everlong.data import ByteTokenizer, ExampleStore
from everlong.errors import DataError
from everlong.models import Encoder, create_model, list_models
from everlong.models.classifier import Classifier
from everlong.run import load
from everlong.train import TrainConfig, train
from tests.unit.train.conftest import figures, settings
from tests.unit.train.test_train import PowerCutError, cut_power

BYTES = ByteTokenizer()


HELD_OUT = [n for n in range(32) if (n + n // 2 + n // 8) % 4 == 0]
"""Texts of which no other has the same three tokens, while each token is in some others, with either label."""
LEARNED = [n for n in range(32) if n not in HELD_OUT]


def store(folder: Path, numbers: Sequence[int] = LEARNED, labels: Sequence[str] = ("no", "yes")) -> ExampleStore:
    """The label is 1 where a text begins with a 7, whatever follows."""
    examples = (
        {"tokens": [7 if n % 2 else 3, 10 + n // 2 % 4, 20 + n // 8], "sections": [0, 2], "label": [n % 2]}
        for n in numbers
    )
    about = {"labels": list(labels), "options": {}, "n_tokens": 3 * len(numbers), "left_out": 0}
    return ExampleStore.build(examples, ["tokens", "sections", "label"], folder, about=about)


def encoder(name: str = "han", **fields: Any) -> Encoder:
    torch.manual_seed(0)
    return create_model(name, **{"d_model": 16, "n_layers": 2, **fields})


def learning(**changes: Any) -> TrainConfig:
    fields = {"task": "classify", "steps": 6, "lanes": 4, "eval_every": 2, "save_every": 3, "chunk": 256, "window": 1}
    return settings(**{**fields, "memory_dropout": 0.0, **changes})


@pytest.mark.parametrize("name", list_models("encoder"))
def test_every_encoder_learns_labels(name: str, tmp_path: Path) -> None:
    data, valid, out = store(tmp_path / "data"), store(tmp_path / "valid", HELD_OUT), tmp_path / "run"
    config = learning(steps=120, lr=0.01, warmup=2, eval_every=0, save_every=0)
    train(encoder(name), data, valid, config, out, tokenizer=BYTES)
    assert figures(out)[-1]["valid_accuracy"] == figures(out)[-1]["valid_macro_f1"] == 1.0
    model = load(out).model
    assert isinstance(model, Classifier)
    assert (model.labels, model.architecture) == (("no", "yes"), name)


def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    data, valid = store(tmp_path / "data"), store(tmp_path / "valid", HELD_OUT)
    train(encoder(dropout=0.2), data, valid, learning(), tmp_path / "whole", tokenizer=BYTES)
    with pytest.raises(PowerCutError):
        train(encoder(dropout=0.2), data, valid, learning(), tmp_path / "cut", tokenizer=BYTES, report=cut_power(4))
    train(encoder(dropout=0.2), data, valid, learning(), tmp_path / "cut", tokenizer=BYTES, resume=True)
    assert load(tmp_path / "cut").model.weights_digest() == load(tmp_path / "whole").model.weights_digest()


def test_a_store_names_its_labels(tmp_path: Path) -> None:
    rows = [{"tokens": [1, 2], "sections": [0], "label": [0]}]
    nameless = ExampleStore.build(rows, ["tokens", "sections", "label"], tmp_path / "data")
    with pytest.raises(DataError, match=r"data does not name its labels\. Build the store with about=\{'labels': "):
        train(encoder(), nameless, None, learning(), tmp_path / "run", tokenizer=BYTES)


def test_held_out_texts_with_other_labels(tmp_path: Path) -> None:
    data, valid = store(tmp_path / "data"), store(tmp_path / "valid", HELD_OUT, labels=("no", "maybe"))
    message = r"the held-out texts have other labels \(no, maybe\) than those to learn from \(no, yes\)\. Make both"
    with pytest.raises(DataError, match=message):
        train(encoder(), data, valid, learning(), tmp_path / "run", tokenizer=BYTES)
    assert not (tmp_path / "run").exists()
