"""Copying binary vectors with a feed-forward controller: nothing but the matrix and the reads can remember them."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from everlong.models import LanguageModel, create_model

BITS, LENGTH = 4, 3
SMALL = {"input_size": BITS + 1, "output_size": BITS, "d_model": 32, "n_layers": 1, "slot_size": 8}
LEARNERS: dict[str, dict[str, Any]] = {
    "ntm": {"memory_slots": 8, "n_reads": 1},
    "dnc": {"memory_slots": 8, "n_reads": 1},
    "mann": {"memory_slots": 16, "n_reads": 2},
}


def episodes(count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Vectors, then a flag on a channel of its own, then silence in which to repeat them; and the vectors."""
    vectors = torch.randint(2, (count, LENGTH, BITS), generator=rng).float()
    shown = torch.zeros(count, 2 * LENGTH + 1, BITS + 1)
    shown[:, :LENGTH, :BITS], shown[:, LENGTH, BITS] = vectors, 1
    return shown, vectors


def train(model: LanguageModel[Any], rng: torch.Generator) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(1500):
        shown, vectors = episodes(32, rng)
        answers, _ = model(shown)
        loss = F.binary_cross_entropy_with_logits(answers[:, LENGTH + 1 :], vectors)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if loss.item() < 0.02:
            return


def wrong_bits(answers: Tensor, vectors: Tensor) -> float:
    return float(((answers > 0) != (vectors > 0)).float().mean())


@pytest.mark.parametrize("name", LEARNERS)
def test_copying_needs_the_matrix(name: str) -> None:
    rng = torch.Generator().manual_seed(0)
    model = create_model(name, controller="feed-forward", **SMALL, **LEARNERS[name])
    train(model, rng)
    model.eval()
    shown, vectors = episodes(500, rng)
    with torch.inference_mode():
        _, memory = model(shown[:, : LENGTH + 1])
        asked = shown[:, LENGTH + 1 :]
        kept, _ = model(asked, memory)
        forgot, _ = model(asked)
        confused, _ = model(asked, memory.select(torch.arange(500).roll(1)))
    assert wrong_bits(kept, vectors) < 0.02
    assert wrong_bits(forgot, vectors) > 0.4
    assert wrong_bits(confused, vectors) > 0.4
