"""Bits that are asked for: what they cost, and how many are wrong."""

import math
from typing import Any

import pytest
import torch

from everlong.data.synthetic import Copy, DynamicNGram, collate
from everlong.errors import ConfigError
from everlong.evaluate.episodes import (
    answers,
    bit_losses,
    count_wrong,
    draw_measured,
    evaluate_episodes,
)
from everlong.models import create_model
from everlong.shapes import IGNORE

RULES = Copy(max_length=3, bits=2)
SIZES: dict[str, Any] = {"d_model": 8, "n_layers": 1, "memory_slots": 5, "slot_size": 3}


def tiny(name: str = "ntm") -> Any:
    torch.manual_seed(0)
    sizes = SIZES if name != "lstm" else {"d_model": 8}
    return create_model(name, input_size=3, output_size=2, **sizes).double()


def test_bits_cost_the_logarithm_of_their_chance() -> None:
    logits = torch.tensor([[[2.0, -1.0], [0.5, 3.0]]], dtype=torch.float64)
    targets = torch.tensor([[[1.0, 1.0], [IGNORE, 0.0]]])
    chances = [1 / (1 + math.exp(-2)), 1 / (1 + math.exp(1)), 1 - 1 / (1 + math.exp(-3))]
    losses = bit_losses(logits, targets)
    assert losses[0, 1, 0] == 0
    assert float(losses.sum()) == pytest.approx(-sum(math.log(chance) for chance in chances))
    assert int(count_wrong(logits, targets)) == 2


@pytest.mark.parametrize("name", ["ntm", "dnc", "mann", "lstm"])
def test_a_trial_is_its_sequences_one_by_one(name: str) -> None:
    model = tiny(name)
    drawn = list(draw_measured(RULES, {"length": 5}, count=4))
    nats, wrong = 0.0, 0
    with torch.no_grad():
        for episode in drawn:
            chunk = collate([episode])
            logits, _ = model(chunk.tokens.double(), starts=chunk.starts, lengths=chunk.lengths)
            nats += float(bit_losses(logits, chunk.targets).sum())
            wrong += int(count_wrong(logits, chunk.targets))
    (found,) = evaluate_episodes(
        model,
        RULES,
        trials=[{"length": 5}],
        sequences=4,
        lanes=3,
        answer=lambda _, chunk: model(chunk.tokens.double())[0],
    )
    assert found.bits_per_sequence == pytest.approx(nats / math.log(2) / 4)
    assert (found.n_bits, found.n_wrong, found.wrong_bits) == (4 * 5 * 2, wrong, wrong / 40)
    assert found.label == "length 5"


def test_padding_that_is_read_changes_nothing() -> None:
    model = tiny()
    chunk = collate(list(draw_measured(RULES, None, count=6)))
    assert len(set(chunk.lengths.tolist())) > 1
    told, _ = model(chunk.tokens.double(), starts=chunk.starts, lengths=chunk.lengths)
    asked = chunk.targets != IGNORE
    read = model(chunk.tokens.double())[0]
    torch.testing.assert_close(read[asked], told[asked], rtol=1e-12, atol=1e-12)
    assert answers(model.float(), chunk).shape == chunk.targets.shape


def test_a_model_that_knows_nothing_pays_a_bit_for_each_and_the_best_less() -> None:
    rules, model = DynamicNGram(order=3, length=40), create_model("ntm", input_size=1, output_size=1, **SIZES)
    seen: list[int] = []
    usual, longer = evaluate_episodes(
        model,
        rules,
        trials=(None, {"length": 80}),
        sequences=5,
        lanes=2,
        report=seen.append,
        answer=lambda _, chunk: torch.zeros_like(chunk.targets),
    )
    assert (usual.label, usual.bits_per_sequence, longer.bits_per_sequence) == (
        "as trained",
        pytest.approx(40),
        pytest.approx(80),
    )
    assert seen == [2, 4, 5, 7, 9, 10]
    assert usual.least_bits is not None
    assert 5 * 2 < usual.least_bits < 5 * 48
    assert usual.to_dict()["least_bits_per_sequence"] == usual.least_bits / 5


def test_what_does_not_fit_is_refused() -> None:
    model = tiny().float()
    with pytest.raises(ConfigError, match="sequences=0 is too small"):
        evaluate_episodes(model, RULES, trials=(None,), sequences=0, lanes=1)
    message = r"task=copy shows vectors of 9 numbers and asks for 8 bits; the model has input_size=3 and output_size=2"
    with pytest.raises(ConfigError, match=message):
        evaluate_episodes(model, Copy(), trials=(None,), sequences=1, lanes=1)
