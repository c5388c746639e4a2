"""Every encoder-decoder learns to say its source backwards, whatever its length, and cannot without it.

The source is 1 to 8 symbols; the target begins with a mark, says the symbols from the last to the first, and ends with
the mark. A model that keeps all laws and cannot learn this is still broken.
"""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from everlong.generate import beam_search
from everlong.models import Seq2Seq, create_model, list_models
from everlong.shapes import IGNORE

SYMBOLS, LONGEST = 8, 8
MARK = SYMBOLS
SMALL = {"vocab_size": SYMBOLS + 1, "n_heads": 2, "d_model": 32, "n_layers": 2, "d_ff": 64, "context": LONGEST + 1}
RECURRENT = {"vocab_size": SYMBOLS + 1, "d_model": 48}
SEQ2SEQ_LEARNERS: dict[str, dict[str, Any]] = {
    "encoder-decoder": SMALL,
    "hierarchical-encoder-decoder": {**SMALL, "segment": 3},
    "longformer-encoder-decoder": {**SMALL, "window": 4},
    "recurrent-encoder-decoder": RECURRENT,
    "recurrent-encoder-decoder that feeds its input": {**RECURRENT, "attention": "luong", "score": "general"},
}


def pairs(lanes: int, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sources and their lengths; target tokens as they are read, and as they are asked for."""
    lengths = torch.randint(1, LONGEST + 1, (lanes,), generator=rng)
    source = torch.randint(SYMBOLS, (lanes, LONGEST), generator=rng)
    tokens, targets = torch.full((lanes, LONGEST + 1), MARK), torch.full((lanes, LONGEST + 1), IGNORE)
    for lane, length in enumerate(lengths.tolist()):
        targets[lane, :length], targets[lane, length] = source[lane, :length].flip(0), MARK
        tokens[lane, 1 : length + 1] = targets[lane, :length]
    return source, lengths, tokens, targets


def train(model: Seq2Seq[Any], rng: torch.Generator) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(900):
        source, lengths, tokens, targets = pairs(32, rng)
        losses, _, _ = model.token_losses(tokens, targets, model.read(source, lengths=lengths))
        loss = losses.sum() / (targets != IGNORE).sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if loss.item() < 0.02:
            return


@pytest.mark.parametrize("learner", SEQ2SEQ_LEARNERS)
def test_a_source_is_said_backwards(learner: str) -> None:
    rng = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model: Seq2Seq[Any] = create_model(learner.split(" ")[0], **SEQ2SEQ_LEARNERS[learner])
    train(model, rng)
    model.eval()
    source, lengths, tokens, targets = pairs(200, rng)
    with torch.inference_mode():
        memory = model.read(source, lengths=lengths)
        asked = (targets != IGNORE).sum()
        known = model.token_losses(tokens, targets, memory)[0].sum() / asked
        # Another's source, of the same length, is as good as none.
        stranger = model.read(source.roll(1, dims=0), lengths=lengths)
        confused = model.token_losses(tokens, targets, stranger)[0].sum() / asked
    assert float(known) < 0.15
    assert float(confused) > math.log(SYMBOLS)
    found = beam_search(
        model, memory, torch.full((200,), MARK), beams=3, max_new_tokens=LONGEST + 1, length_penalty=0.6, end=MARK
    )
    expected = [source[lane, :length].flip(0).tolist() for lane, length in enumerate(lengths.tolist())]
    right = sum(lane[0].tokens == wanted for lane, wanted in zip(found, expected, strict=True))
    assert right > 160


def test_every_encoder_decoder_learns() -> None:
    assert {learner.split(" ")[0] for learner in SEQ2SEQ_LEARNERS} == set(list_models("seq2seq")), "teach the new one"
