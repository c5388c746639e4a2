"""The task of telling tags: what it refuses, what it measures, and a run that was killed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from everlong.data import ByteTokenizer, ExampleStore
from everlong.data.tag_windows import TAG_FIELDS
from everlong.errors import DataError
from everlong.models import Encoder, create_model, list_models
from everlong.models.tagger import Tagger
from everlong.run import load
from everlong.shapes import IGNORE
from everlong.train import TrainConfig, train
from tests.unit.train.conftest import figures, settings
from tests.unit.train.test_train import PowerCutError, cut_power

BYTES = ByteTokenizer()

HELD_OUT = [n for n in range(32) if (n + n // 2 + n // 8) % 4 == 0]
"""Texts of which no other has the same tokens, while each token is in some others."""
LEARNED = [n for n in range(32) if n not in HELD_OUT]


def store(folder: Path, numbers: Sequence[int] = LEARNED, types: Sequence[str] = ("a", "b")) -> ExampleStore:
    """The second word is an entity, whose type depends on the word before it; a long one goes on into the third."""
    examples = (
        {
            "tokens": [7 if n % 2 else 3, 10 + n // 2 % 4, 99, 30 if n // 8 % 2 else 40, 50],
            "targets": [0, 3 if n % 2 else 1, IGNORE, (4 if n % 2 else 2) if n // 8 % 2 else 0, 0],
            "sections": [0],
            "window": [0],
        }
        for n in numbers
    )
    about = {"types": list(types), "by_character": False, "options": {}}
    return ExampleStore.build(examples, TAG_FIELDS, folder, about=about)


def encoder(name: str = "bilstm", **fields: Any) -> Encoder:
    torch.manual_seed(0)
    return create_model(name, **{"d_model": 16, "n_layers": 2, **fields})


def learning(**changes: Any) -> TrainConfig:
    fields = {"task": "tag", "steps": 6, "lanes": 4, "eval_every": 2, "save_every": 3, "chunk": 256, "window": 1}
    return settings(**{**fields, "memory_dropout": 0.0, **changes})


@pytest.mark.parametrize("name", list_models("encoder"))
def test_every_encoder_learns_tags(name: str, tmp_path: Path) -> None:
    data, valid, out = store(tmp_path / "data"), store(tmp_path / "valid", HELD_OUT), tmp_path / "run"
    config = learning(steps=120, lr=0.01, warmup=2, eval_every=0, save_every=0)
    train(encoder(name), data, valid, config, out, tokenizer=BYTES)
    last = figures(out)[-1]
    assert last["valid_f1"] == last["valid_precision"] == last["valid_recall"] == 1.0
    model = load(out).model
    assert isinstance(model, Tagger)
    assert (model.types, model.architecture) == (("a", "b"), name)


def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    data, valid = store(tmp_path / "data"), store(tmp_path / "valid", HELD_OUT)
    train(encoder(dropout=0.2), data, valid, learning(), tmp_path / "whole", tokenizer=BYTES)
    with pytest.raises(PowerCutError):
        train(encoder(dropout=0.2), data, valid, learning(), tmp_path / "cut", tokenizer=BYTES, report=cut_power(4))
    train(encoder(dropout=0.2), data, valid, learning(), tmp_path / "cut", tokenizer=BYTES, resume=True)
    assert load(tmp_path / "cut").model.weights_digest() == load(tmp_path / "whole").model.weights_digest()


def test_a_head_of_the_same_types_is_kept_and_another_begins_new(tmp_path: Path) -> None:
    data, out = store(tmp_path / "data"), tmp_path / "run"
    train(encoder(), data, None, learning(steps=0, minutes=0.001), out, tokenizer=BYTES)
    model = load(out).model
    config = learning(steps=1, lr=1e-30, warmup=0, weight_decay=0.0, eval_every=0)
    train(load(out).model, data, None, config, tmp_path / "same", tokenizer=BYTES)
    assert torch.equal(load(tmp_path / "same").model.tags.map.weight, model.tags.map.weight)
    other = store(tmp_path / "other", types=("a", "c"))
    train(load(out).model, other, None, config, tmp_path / "new", tokenizer=BYTES)
    new = load(tmp_path / "new").model
    assert not torch.equal(new.tags.map.weight, model.tags.map.weight)
    assert torch.equal(new.encoder.embedding.weight, model.encoder.embedding.weight)


def test_a_store_names_its_types(tmp_path: Path) -> None:
    rows = [{"tokens": [1, 2], "targets": [0, 1], "sections": [0], "window": [0]}]
    nameless = ExampleStore.build(rows, TAG_FIELDS, tmp_path / "data")
    with pytest.raises(
        DataError, match=r"data does not name its types of entities\. Build the store with about=\{'types"
    ):
        train(encoder(), nameless, None, learning(), tmp_path / "run", tokenizer=BYTES)


def test_held_out_texts_with_entities_of_other_types(tmp_path: Path) -> None:
    data, valid = store(tmp_path / "data"), store(tmp_path / "valid", HELD_OUT, types=("a", "c"))
    message = r"the held-out texts have entities of other types \(a, c\) than those to learn from \(a, b\)\. Make both"
    with pytest.raises(DataError, match=message):
        train(encoder(), data, valid, learning(), tmp_path / "run", tokenizer=BYTES)
    assert not (tmp_path / "run").exists()
