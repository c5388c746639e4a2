"""Every encoder learns to tell what is hidden from what stands on both sides, and cannot from one side alone.

The second half of a text repeats the first. Some symbols are hidden, but never one and its repetition, so the answer to
a symbol hidden in the first half comes later, and to one in the second half before. An encoder that keeps all laws and
cannot learn this is still broken.
"""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from everlong.models import Encoder, create_model, list_models
from everlong.shapes import IGNORE

SYMBOLS, HALF = 8, 6
SMALL = {"vocab_size": SYMBOLS, "n_heads": 2, "d_model": 32, "n_layers": 2, "d_ff": 64}
ENCODER_LEARNERS: dict[str, dict[str, Any]] = {
    "bert": SMALL,
    "bilstm": {"vocab_size": SYMBOLS, "d_model": 96, "n_layers": 1},
    "han": {"vocab_size": SYMBOLS, "d_model": 96, "segment": 4},
    "hierarchical-encoder": {**SMALL, "layout": "S", "segment": 2 * HALF},
    "longformer-encoder": {**SMALL, "window": 2 * HALF},
    "reformer-encoder": {
        **SMALL,
        "layers": ("lsh",),
        "n_buckets": 4,
        "bucket_size": 4,
        "positions": "axial",
        "axial_shape": (HALF, 2),
    },
    "bert with learned positions": {**SMALL, "positions": "learned", "n_positions": 2 * HALF, "norm": "post"},
}
HALF_OF = {"bilstm": 2, "han": 2}
"""A recurrent state holds few symbols by the time it has learned to hold any."""


def texts(lanes: int, rng: torch.Generator, *, mask_token: int, size: int = HALF) -> tuple[Tensor, Tensor]:
    """Tokens, some of them hidden, and what was hidden."""
    half = torch.randint(SYMBOLS, (lanes, size), generator=rng)
    whole = torch.cat([half, half], dim=1)
    pair = torch.rand(lanes, size, generator=rng) < 1 / 3
    second = torch.rand(lanes, size, generator=rng) < 1 / 2
    hidden = torch.cat([pair & ~second, pair & second], dim=1)
    return whole.where(~hidden, mask_token), whole.where(hidden, IGNORE)


def train(encoder: Encoder, rng: torch.Generator, *, size: int) -> None:
    optimizer = torch.optim.Adam(encoder.parameters(), lr=5e-3)
    for _ in range(600):
        tokens, targets = texts(32, rng, mask_token=encoder.mask_token, size=size)
        loss = encoder.token_losses(tokens, targets).sum() / (targets != IGNORE).sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        if loss.item() < 0.05:
            return


@pytest.mark.parametrize("learner", ENCODER_LEARNERS)
def test_hidden_symbols_are_recalled_from_both_sides(learner: str) -> None:
    rng = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    encoder: Encoder = create_model(learner.split(" ")[0], **ENCODER_LEARNERS[learner])
    size = HALF_OF.get(learner, HALF)
    train(encoder, rng, size=size)
    encoder.eval()
    tokens, targets = texts(200, rng, mask_token=encoder.mask_token, size=size)
    with torch.inference_mode():
        losses = encoder.token_losses(tokens, targets)
        halves = [part[part > 0].mean() for part in losses.split(size, dim=1)]
        # Without the other half, a hidden symbol could be any.
        alone = encoder.token_losses(tokens[:, :size], targets[:, :size])
    assert all(float(half) < 0.2 for half in halves)
    assert float(alone[alone > 0].mean()) > 0.9 * math.log(SYMBOLS)


def test_every_encoder_learns() -> None:
    assert {learner.split(" ")[0] for learner in ENCODER_LEARNERS} == set(list_models("encoder")), "teach the new one"
