"""The benchmark of rarity tells a model that remembers codes from one that does not, and says what each run was."""

from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.rarity import EACH, MODELS, Job, held_out_passages, recall, table

from everlong.data import ByteTokenizer, Document, TokenStore


class Oracle:
    """Knows every passage, or that a code is four digits."""

    def __init__(self, passages: list[Any], *, remembers: bool) -> None:
        self.passages, self.remembers = passages, remembers
        self.at = 0

    def __call__(self, tokens: torch.Tensor, memory: Any, *, lengths: torch.Tensor) -> tuple[torch.Tensor, int]:
        first, group = memory or (0, self.at)
        if memory is None:
            self.at += EACH
        logits = torch.zeros(*tokens.shape, 256)
        for lane, length in enumerate(lengths.tolist()):
            passage = self.passages[group + lane]
            (answer,) = passage.answers
            for step in range(length):
                target = first + step + 1
                if not answer.begin <= target < answer.end:
                    continue
                if target == answer.begin or self.remembers:
                    logits[lane, step, int(passage.tokens[target])] = 1e4
                else:
                    logits[lane, step, ord("0") : ord("9") + 1] = 1e4
        return logits, (first + tokens.shape[1], group)


@pytest.fixture(scope="module")
def passages(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    novel = Document("novel", "It was the best of times, it was the worst of times. " * 80)
    store = TokenStore.build([novel], ByteTokenizer(), tmp_path_factory.mktemp("rarity") / "store")
    return held_out_passages(store, chunk=64)


def test_a_code_that_is_remembered_costs_nothing_and_another_its_digits(passages: list[Any]) -> None:
    known: Any = Oracle(passages, remembers=True)
    unknown: Any = Oracle(passages, remembers=False)
    best, chance = recall(known, passages, chunk=50), recall(unknown, passages, chunk=50)
    assert sum(row["codes"] for row in best.values()) == len(passages) == 4 * EACH
    assert {"2048", "4096"} & best.keys()
    for row in best.values():
        assert (row["bits"], row["accuracy"]) == (0.0, 1.0)
    for row in chance.values():
        assert row["bits"] == pytest.approx(13.2877, abs=1e-3)
        assert row["accuracy"] < 0.2


def test_ways_are_told_apart_by_name_and_settings() -> None:
    asked = [
        Job(model=model, seed=0, folder=Path("runs"), overrides={}, settings={}, cpu_minutes=1.0).asked
        for model in MODELS
    ]
    assert [row["asked_settings"].get("long_weight") for row in asked[:4]] == [None, 5.0, None, None]
    assert len({str(row) for row in asked}) == len(MODELS) == 8


def test_the_table_has_means_over_seeds() -> None:
    codes = {"64": {"codes": 3, "bits": 13.5, "accuracy": 0.25}}
    rows: list[dict[str, Any]] = [
        {
            "model": "gru+long",
            "training_tokens": 2e6,
            "bits_per_byte": bits,
            "bits_per_byte_reset": 3.0,
            "recall": codes,
        }
        for bits in (2.0, 2.5)
    ]
    assert "2.2500 ±0.5000" in table(rows)
    assert "13.50 25%" in table(rows)
