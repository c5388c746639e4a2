"""The task of translating: what is measured, and that it is learned, resumed and read as it will be used."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from everlong.data import ByteTokenizer, ExampleStore
from everlong.data.pair_store import build_pairs
from everlong.data.pairs import Pair
from everlong.errors import ConfigError
from everlong.evaluate.pairs import bits_per_target_byte
from everlong.generate.translation import Decoding, translate_lines
from everlong.models import create_model
from everlong.train import TrainConfig, train
from tests.unit.train.conftest import figures, settings
from tests.unit.train.test_train import PowerCutError, cut_power

BYTES = ByteTokenizer()
WORDS = {"ab": "BA!", "c": "C", "dd": "d", "e": "EE"}


def pairs(folder: Path, count: int, seed: int = 0) -> ExampleStore:
    rng = torch.Generator().manual_seed(seed)
    chosen = [[list(WORDS)[int(n)] for n in torch.randint(4, (2,), generator=rng)] for _ in range(count)]
    return build_pairs((Pair(" ".join(c), " ".join(WORDS[w] for w in c)) for c in chosen), BYTES, folder)


def tiny(seed: int = 0, name: str = "recurrent-encoder-decoder", **fields: Any) -> Any:
    torch.manual_seed(seed)
    return create_model(name, **{"d_model": 24, **fields})


def learning(**changes: Any) -> TrainConfig:
    return settings(**{"task": "translate", "steps": 6, "lanes": 4, "eval_every": 2, "save_every": 3, **changes})


def test_bits_are_those_of_each_target_alone(tmp_path: Path) -> None:
    store, model = pairs(tmp_path / "pairs", 5), tiny().eval()
    nats, n_bytes = 0.0, 0
    for n in range(5):
        source, target = (store[n][side].tolist() for side in ("source", "target"))
        logits, _ = model(torch.tensor([[10, *target]]), model.read(torch.tensor([source])))
        scores = logits[0].double().log_softmax(dim=-1)
        nats -= sum(scores[t, token].item() for t, token in enumerate([*target, 10]))
        n_bytes += len(target) + 1
    expected = nats / math.log(2) / n_bytes
    for lanes in (1, 3, 9):
        assert bits_per_target_byte(model.train(), store, BYTES, lanes=lanes) == pytest.approx(expected, rel=1e-6)
        assert model.training
    done: list[int] = []
    bits_per_target_byte(model, store, BYTES, lanes=2, limit=3, report=done.append)
    assert done == [2, 3]
    with pytest.raises(ConfigError, match="lanes=0 is too small"):
        bits_per_target_byte(model, store, BYTES, lanes=0)


def test_it_learns_and_is_used(tmp_path: Path) -> None:
    data, valid = pairs(tmp_path / "data", 200), pairs(tmp_path / "valid", 12, seed=1)
    model = tiny()
    config = learning(steps=300, lanes=16, lr=0.01, clip=1.0, warmup=10, eval_every=0, save_every=0)
    result = train(model, data, valid, config, tmp_path / "run", tokenizer=BYTES)
    assert result.best_bits is not None
    assert result.best_bits < 0.2
    assert result.per.name == "byte"
    lines = ["ab c", "", "dd e", "e e", "  ", "c ab"]
    found = translate_lines(model.eval(), BYTES, lines, decoding=Decoding(), lanes=2)
    assert [one.text for one in found] == ["BA! C", "", "d EE", "EE EE", "", "C BA!"]


def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    data, valid = pairs(tmp_path / "data", 24), pairs(tmp_path / "valid", 7, seed=1)
    whole, other = tiny(dropout=0.2), tiny(seed=1, dropout=0.2)
    train(whole, data, valid, learning(), tmp_path / "whole", tokenizer=BYTES)
    with pytest.raises(PowerCutError):
        train(tiny(dropout=0.2), data, valid, learning(), tmp_path / "broken", tokenizer=BYTES, report=cut_power(4))
    train(other, data, valid, learning(), tmp_path / "broken", tokenizer=BYTES, resume=True)
    assert other.weights_digest() == whole.weights_digest()
    assert figures(tmp_path / "broken") == figures(tmp_path / "whole")


def test_bits_of_an_update_are_of_bytes(tmp_path: Path) -> None:
    """The loss is of tokens; each of them stands for one byte here, and so the two differ by log 2 alone."""
    train(tiny(), pairs(tmp_path / "data", 24), None, learning(), tmp_path / "run", tokenizer=BYTES)
    for row in figures(tmp_path / "run"):
        if "loss" in row:
            assert row["bits_per_byte"] == pytest.approx(row["loss"] / math.log(2))


def test_it_is_for_encoder_decoders(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gru cannot learn task=translate, which is for encoder-decoder, .*task=lm"):
        train(create_model("gru", d_model=8), pairs(tmp_path / "data", 4), None, learning(), tmp_path / "run")
    data = pairs(tmp_path / "more", 4)
    with pytest.raises(ConfigError, match=r"the model has vocab_size=100, the tokenizer has 256 tokens"):
        train(tiny(vocab_size=100), data, None, learning(), tmp_path / "run", tokenizer=BYTES)
