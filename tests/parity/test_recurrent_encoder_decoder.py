"""Recurrent encoder-decoders against their one-by-one twin, with every score, and the facts of their papers."""

from typing import Any, get_args

import pytest
import torch

from everlong.models.recurrent_encoder_decoder import RecurrentEncoderDecoder, RecurrentEncoderDecoderConfig
from everlong.nn.score import ScoreName
from everlong.testing.subject import stir_weights
from tests.reference.recurrent_encoder_decoder import encode_one_by_one, outputs_one_by_one

SCORES: tuple[ScoreName, ...] = get_args(ScoreName)


def make(**fields: Any) -> RecurrentEncoderDecoder:
    config = RecurrentEncoderDecoderConfig(**{"vocab_size": 11, "d_model": 8, "n_positions": 5, **fields})
    model = RecurrentEncoderDecoder(config).double()
    stir_weights(model, seed=3)
    return model


@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("attention", ["bahdanau", "luong"])
@pytest.mark.parametrize("score", SCORES)
def test_equal_to_the_twin_values_and_gradients(attention: str, score: str, n_layers: int) -> None:
    model = make(attention=attention, score=score, n_layers=n_layers, shared_embedding=n_layers == 1)
    rng = torch.Generator().manual_seed(1)
    source, lengths = torch.randint(11, (3, 6), generator=rng), torch.tensor([6, 2, 0])
    tokens = torch.randint(11, (3, 5), generator=rng)
    mixture = torch.randn(3, 5, 11, dtype=torch.float64, generator=rng)
    logits, _ = model(tokens, model.read(source, lengths=lengths))
    lanes = [
        outputs_one_by_one(model, source[lane, : lengths[lane]].tolist(), tokens[lane].tolist()) for lane in range(3)
    ]
    expected = model.head.logits(torch.stack(lanes))
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-12)
    weights = list(model.parameters())
    found, slow = (torch.autograd.grad((out * mixture).sum(), weights) for out in (logits, expected))
    for ours, theirs in zip(found, slow, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)


def test_the_backward_direction_begins_at_the_last_real_token() -> None:
    model = make(n_layers=2)
    source, lengths = torch.randint(11, (3, 7)), torch.tensor([7, 3, 1])
    memory = model.read(source, lengths=lengths)
    for lane, length in enumerate(lengths.tolist()):
        expected = torch.stack(encode_one_by_one(model, source[lane, :length].tolist()))
        torch.testing.assert_close(memory.source[lane, :length], expected, rtol=0, atol=1e-12)
        assert not bool(memory.source[lane, length:].any())


def test_a_new_document_begins_where_the_first_did() -> None:
    model, tokens = make(attention="luong"), torch.randint(11, (1, 4))
    memory = model.read(torch.randint(11, (1, 6)))
    first, after = model(tokens, memory)
    again, _ = model(tokens, after, starts=torch.tensor([[True, False, False, False]]))
    assert torch.equal(again, first)


@pytest.mark.parametrize(("attention", "asks"), [("bahdanau", "before"), ("luong", "after")])
def test_who_asks(attention: str, asks: str) -> None:
    """Bahdanau's state asks before it has seen the token, Luong's after: then the token changes the question."""
    model = make(attention=attention)
    queries: list[torch.Tensor] = []
    compare = model.score.compare
    model.score.compare = lambda query, prepared: (queries.append(query), compare(query, prepared))[1]  # type: ignore[method-assign]
    memory = model.read(torch.randint(11, (1, 6)))
    for token in (3, 4):
        model(torch.tensor([[token]]), memory)
    assert torch.equal(queries[0], queries[1]) == (asks == "before")


@pytest.mark.parametrize(("score", "width"), [("location", 0), ("additive", 8), ("dot", 8)])
def test_what_is_kept_of_a_source(score: str, width: int) -> None:
    memory = make(score=score).read(torch.randint(11, (2, 6)))
    assert (memory.source.shape, memory.keys.shape) == ((2, 6, 8), (2, 6, width))
