"""Every architecture learns to recall what it read three chunks ago, and cannot without its memory.

A document is two symbols, a long silence and a request to repeat them: 32 tokens, read in chunks of 8, gradients
flowing through the memory from chunk to chunk. A model that keeps all laws and cannot learn this is still broken.
"""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from everlong.memory import Memory
from everlong.models import LanguageModel, create_model, list_models
from everlong.shapes import IGNORE

SYMBOLS, ASKED, TIME, CHUNK = 8, 2, 32, 8
SMALL = {"vocab_size": SYMBOLS + 2, "n_heads": 2, "d_model": 32, "n_layers": 2, "d_ff": 64}
COMPRESSIVE = {**SMALL, "segment": CHUNK, "mem_len": CHUNK, "cmem_len": 4, "compression_rate": 4, "norm": "pre"}
MACHINE = {"vocab_size": SYMBOLS + 2, "d_model": 32, "n_layers": 1, "slot_size": 8}
LEARNERS: dict[str, dict[str, Any]] = {
    "compressive-transformer": {**COMPRESSIVE, "reconstruction": "none"},
    "compressive-transformer that keeps what was used": {**COMPRESSIVE, "compression": "most-used"},
    "dnc": {**MACHINE, "controller": "feed-forward", "memory_slots": 8, "n_reads": 2},
    "hierarchical-transformer": {**SMALL, "segment": CHUNK, "n_paragraphs": 4},
    "gru": {"vocab_size": SYMBOLS + 2, "d_model": 48, "n_layers": 1, "forget_bias": 2.0},
    "lstm": {"vocab_size": SYMBOLS + 2, "d_model": 48, "n_layers": 1, "forget_bias": 3.0},
    "longformer": {**SMALL, "window": TIME, "n_global": 0},
    "longformer whose windows never reach what it pins": {**SMALL, "window": (3, 5), "n_global": ASKED},
    "mann": {**MACHINE, "memory_slots": 2 * TIME, "n_reads": 2},
    "ntm": {**MACHINE, "memory_slots": TIME, "n_reads": 1},
    "reformer": {**SMALL, "n_hashes": 4, "n_buckets": 4, "bucket_size": CHUNK, "window": CHUNK, "context": TIME},
    "sparse-transformer": {**SMALL, "stride": CHUNK, "context": TIME, "summary": 2, "sub_blocks": 2},
    "sparse-transformer that looks up its column": {**SMALL, "stride": CHUNK, "context": TIME, "pattern": "strided"},
    "transformer": {**SMALL, "context": TIME},
    "transformer-xl": {**SMALL, "segment": CHUNK, "mem_len": TIME - CHUNK},
}
ASKED_OF = {"hierarchical-transformer": 1}
"""Which symbols there were, a summary tells after a hundred updates; in which order, not after five (docs/log.md)."""
Documents = tuple[Tensor, Tensor, Tensor]


def documents(lanes: int, rng: torch.Generator, *, asked: int = ASKED) -> Documents:
    symbols = torch.randint(SYMBOLS, (lanes, asked), generator=rng)
    tokens, targets = torch.full((lanes, TIME), SYMBOLS), torch.full((lanes, TIME), IGNORE)
    tokens[:, :asked], tokens[:, -asked:], targets[:, -asked:] = symbols, SYMBOLS + 1, symbols
    starts = torch.zeros(lanes, TIME, dtype=torch.bool)
    starts[:, 0] = True
    return tokens, targets, starts


def read(model: LanguageModel[Any], given: Documents, memory: Memory | None, *, detach: bool) -> tuple[Tensor, Memory]:
    """Loss of an answer in nats, after a document that is read chunk by chunk."""
    tokens, targets, starts = given
    total = torch.zeros(())
    for at in range(0, TIME, CHUNK):
        now = slice(at, at + CHUNK)
        losses, after, _ = model.token_losses(tokens[:, now], targets[:, now], memory, starts=starts[:, now])
        memory = after.detach() if detach else after
        total = total + losses.sum()
    assert memory is not None
    return total / (targets != IGNORE).sum(), memory


def train(model: LanguageModel[Any], rng: torch.Generator, *, detach: bool, asked: int) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    memory: Memory | None = None
    for _ in range(500):
        loss, memory = read(model, documents(24, rng, asked=asked), memory, detach=detach)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        memory = memory.detach()
        if loss.item() < 0.05:
            return


@pytest.mark.parametrize(
    ("name", "detach"), [*((name, False) for name in LEARNERS), ("transformer-xl", True)], ids=lambda value: str(value)
)
def test_recall_over_three_chunks_needs_the_memory(name: str, detach: bool) -> None:
    """Transformer-XL also learns as its authors train it, with no gradient through the memory at all."""
    rng = torch.Generator().manual_seed(0)
    model = create_model(name.split(" ")[0], **LEARNERS[name])
    asked = ASKED_OF.get(name, ASKED)
    train(model, rng, detach=detach, asked=asked)
    model.eval()
    tokens, targets, starts = documents(200, rng, asked=asked)
    with torch.inference_mode():
        carried, _ = read(model, (tokens, targets, starts), None, detach=True)
        _, memory = model(tokens[:, :-CHUNK], starts=starts[:, :-CHUNK])
        question, wanted = tokens[:, -CHUNK:], targets[:, -CHUNK:]
        forgot = model.token_losses(question, wanted)[0].sum() / (200 * asked)
        stranger = memory.select(torch.arange(200).roll(1))
        confused = model.token_losses(question, wanted, stranger)[0].sum() / (200 * asked)
    assert float(carried) < 0.15
    assert float(forgot) > 0.95 * math.log(SYMBOLS)
    assert float(confused) > math.log(SYMBOLS)


def test_every_causal_architecture_learns() -> None:
    assert {learner.split(" ")[0] for learner in LEARNERS} == set(list_models("causal")), "teach the new one here"
