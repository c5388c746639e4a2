"""evaluate_hidden() against a slow twin that reads one window at a time."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from everlong.data import BPETokenizer, ByteTokenizer, Chunk, Document, Masking, TokenStore
from everlong.errors import ConfigError, DataError
from everlong.evaluate import HiddenEvaluation, evaluate_hidden
from everlong.models.bert import Bert, BertConfig
from everlong.shapes import IGNORE
from everlong.testing.subject import stir_weights

TEXTS = ["the ship came in at dawn, and the crew slept", "a parrot", "x", "all the old romance retold, 船, again"]
CHUNK = 7
BYTES = ByteTokenizer()


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return TokenStore.build([Document(str(i), text) for i, text in enumerate(TEXTS)], BYTES, tmp_path / "store")


def make_encoder(vocab_size: int = 256) -> Bert:
    torch.manual_seed(0)
    encoder = Bert(BertConfig(vocab_size=vocab_size, d_model=8, n_layers=1, n_heads=2, d_ff=8, dropout=0.2)).double()
    stir_weights(encoder, seed=0)
    return encoder


def make_masking(encoder: Bert) -> Masking:
    return Masking(BYTES, mask_token=encoder.mask_token, rate=0.4, unit="word")


def evaluation(store: TokenStore, *, lanes: int = 3, limit: int | None = None) -> HiddenEvaluation:
    encoder = make_encoder()
    return evaluate_hidden(encoder, store, BYTES, make_masking(encoder), lanes=lanes, chunk=CHUNK, limit_tokens=limit)


@pytest.mark.parametrize("lanes", [1, 4, 50])
@pytest.mark.parametrize("limit", [None, 60])
def test_every_figure_equals_the_slow_twin(store: TokenStore, lanes: int, limit: int | None) -> None:
    encoder, n_hidden, n_right, nats = make_encoder().eval(), 0, 0, 0.0
    masking = make_masking(encoder)
    left = store.n_tokens if limit is None else limit
    for document in range(store.n_documents):
        ids = torch.from_numpy(store.document(document)[:left].astype(np.int64))
        left -= len(ids)
        for begin in range(0, len(ids), CHUNK):
            window = ids[None, begin : begin + CHUNK]
            plain = Chunk(
                tokens=window,
                targets=window,
                starts=torch.zeros_like(window, dtype=torch.bool),
                lengths=torch.tensor([window.shape[1]]),
            )
            hidden = masking.hide(plain, [(document, begin)])
            logits = encoder.logits(hidden.tokens)[0].detach().log_softmax(dim=-1)
            for at, target in enumerate(hidden.targets[0].tolist()):
                if target != IGNORE:
                    n_hidden += 1
                    nats -= float(logits[at, target])
                    n_right += int(logits[at].argmax()) == target
    found = evaluation(store, lanes=lanes, limit=limit)
    assert found.n_tokens == (store.n_tokens if limit is None else limit)
    assert (found.n_hidden, found.n_bytes, found.n_right) == (n_hidden, n_hidden, n_right)
    assert found.loss == pytest.approx(nats / n_hidden, rel=1e-12)
    assert found.bits_per_byte == pytest.approx(nats / n_hidden / math.log(2), rel=1e-12)
    assert found.accuracy == n_right / n_hidden


def test_bytes_are_those_of_the_hidden_tokens(tmp_path: Path) -> None:
    tokenizer = BPETokenizer.train(TEXTS * 5, vocab_size=270)
    store = TokenStore.build([Document("a", TEXTS[0])], tokenizer, tmp_path / "store")
    encoder = make_encoder(270)
    everything = Masking(tokenizer, mask_token=270, rate=1.0, unit="token")
    found = evaluate_hidden(encoder, store, tokenizer, everything, lanes=1, chunk=CHUNK)
    assert (found.n_bytes, found.n_hidden) == (len(TEXTS[0]), store.n_tokens)
    assert found.n_hidden < found.n_bytes


def test_the_encoder_keeps_its_mode_and_draws_nothing(store: TokenStore) -> None:
    encoder, state = make_encoder().train(), torch.get_rng_state()
    evaluate_hidden(encoder, store, BYTES, make_masking(encoder), lanes=2, chunk=CHUNK)
    assert encoder.training
    assert torch.equal(torch.get_rng_state(), state)


def test_progress_counts_tokens_read(store: TokenStore) -> None:
    encoder, seen = make_encoder(), list[int]()
    evaluate_hidden(encoder, store, BYTES, make_masking(encoder), lanes=2, chunk=CHUNK, report=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == store.n_tokens


def test_figures_are_json_values(store: TokenStore) -> None:
    figures = evaluation(store).to_dict()
    assert {"loss", "accuracy", "bits_per_byte", "n_hidden", "n_tokens", "chunk"} <= set(figures)
    assert all(isinstance(value, int | float) for value in figures.values())


def test_what_cannot_be_measured_is_refused(store: TokenStore) -> None:
    encoder = make_encoder()
    masking = make_masking(encoder)
    with pytest.raises(ConfigError, match="chunk=0 is too small"):
        evaluate_hidden(encoder, store, BYTES, masking, lanes=1, chunk=0)
    tokenizer = BPETokenizer.train(TEXTS, vocab_size=260)
    with pytest.raises(DataError, match="built with another tokenizer"):
        evaluate_hidden(encoder, store, tokenizer, masking, lanes=1, chunk=5)
    never = Masking(BYTES, mask_token=256, rate=1e-9, unit="token")
    with pytest.raises(DataError, match=r"none of the \d+ tokens to be measured is hidden, so there is nothing"):
        evaluate_hidden(encoder, store, BYTES, never, lanes=1, chunk=5)
