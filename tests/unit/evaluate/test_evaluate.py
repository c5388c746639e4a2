"""evaluate() against a slow twin that reads one document at a time, a chunk at a time."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from everlong.data import ByteTokenizer, Document, TokenStore
from everlong.data.bpe import BPETokenizer
from everlong.errors import ConfigError, DataError
from everlong.evaluate import Evaluation, evaluate
from everlong.evaluate.partners import partners
from everlong.models import create_model
from everlong.models.base import AnyLanguageModel

TEXTS = [
    "the ship came in at dawn, and the crew slept",
    "a parrot",
    "x",
    "and all the old romance retold, 船, again",
    "pieces of eight",
]
CHUNK = 6


def make_store(folder: Path, texts: list[str] = TEXTS) -> TokenStore:
    return TokenStore.build([Document(str(i), text) for i, text in enumerate(texts)], ByteTokenizer(), folder)


def make_model(name: str = "transformer-xl") -> AnyLanguageModel:
    torch.manual_seed(0)
    fields = {
        "transformer-xl": {"d_model": 8, "n_layers": 2, "n_heads": 2, "d_ff": 16, "segment": 4, "mem_len": 5},
        "lstm": {"d_model": 8, "n_layers": 1},
    }[name]
    model = create_model(name, **fields).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return make_store(tmp_path / "store")


def ids_of(store: TokenStore, document: int) -> torch.Tensor:
    return torch.from_numpy(store.document(document).astype(np.int64))[None]


def twin(model: AnyLanguageModel, store: TokenStore, reading: str) -> dict[tuple[int, int], float]:
    """Reference: nats of token `position` of each document, from logits, one lane, one document after another."""
    nats: dict[tuple[int, int], float] = {}
    model.eval()
    for document in range(store.n_documents):
        mine, theirs = ids_of(store, document), ids_of(store, int(partners(store)[document]))
        memory = other = model.init_memory(1)
        for begin in range(0, mine.shape[1], CHUNK):
            given = {"carried": memory, "reset": None, "other": other}[reading]
            logits, _ = model(mine[:, begin : begin + CHUNK], given)
            for t, row in enumerate(logits[0].log_softmax(dim=-1)):
                if begin + t + 1 < mine.shape[1]:
                    nats[document, begin + t + 1] = -float(row[mine[0, begin + t + 1]])
            _, memory = model(mine[:, begin : begin + CHUNK], memory)
            if begin < theirs.shape[1]:
                _, other = model(theirs[:, begin : begin + CHUNK], other)
    return nats


@pytest.mark.parametrize("name", ["transformer-xl", "lstm"])
@pytest.mark.parametrize("lanes", [1, 3, 8])
@torch.no_grad()
def test_every_figure_equals_the_slow_twin(store: TokenStore, name: str, lanes: int) -> None:
    model = make_model(name)
    found = evaluate(model, store, ByteTokenizer(), lanes=lanes, chunk=CHUNK)
    for reading in ("carried", "reset", "other"):
        nats = twin(model, store, reading)
        assert getattr(found.total, reading) == pytest.approx(sum(nats.values()) / math.log(2), rel=1e-12)
        for row in found.by_document:
            expected = sum(value for (document, _), value in nats.items() if document == row.document) / math.log(2)
            assert getattr(row.bits, reading) == pytest.approx(expected, rel=1e-12)
        for row in found.by_position:
            inside = [value for (_, position), value in nats.items() if row.first <= position <= row.last]
            assert getattr(row.bits, reading) == pytest.approx(sum(inside) / math.log(2), rel=1e-12)
            assert row.bits.n_tokens == len(inside)


def test_bytes_are_those_of_the_predicted_tokens(store: TokenStore) -> None:
    found = evaluate(make_model(), store, ByteTokenizer(), lanes=2, chunk=CHUNK)
    assert found.total.n_bytes == store.n_bytes - store.n_documents
    assert found.total.n_tokens == store.n_tokens - store.n_documents
    assert [row.document for row in found.by_document] == [0, 1, 3, 4]  # document 2 is one token: nothing to predict


def test_bytes_of_merged_tokens_are_counted_by_the_tokenizer(tmp_path: Path) -> None:
    tokenizer = BPETokenizer.train(TEXTS * 5, vocab_size=280)
    store = TokenStore.build([Document("a", TEXTS[0]), Document("b", TEXTS[3])], tokenizer, tmp_path / "store")
    torch.manual_seed(0)
    found = evaluate(
        create_model("gru", d_model=8, vocab_size=tokenizer.vocab_size), store, tokenizer, lanes=2, chunk=4
    )
    given = tokenizer.n_bytes([store.document(0)[0], store.document(1)[0]])
    assert found.total.n_bytes == store.n_bytes - given
    assert found.total.n_tokens < found.total.n_bytes


def test_a_model_without_memory_gains_nothing_within_one_chunk(store: TokenStore) -> None:
    found = evaluate(make_model(), store, ByteTokenizer(), lanes=2, chunk=1000)
    assert found.bits_per_byte == found.bits_per_byte_reset == found.bits_per_byte_other
    assert found.gain == 0


def test_one_document_has_no_other(tmp_path: Path) -> None:
    found = evaluate(make_model(), make_store(tmp_path / "s", TEXTS[:1]), ByteTokenizer(), lanes=2, chunk=CHUNK)
    assert found.bits_per_byte_other is None
    assert found.gain_error is None
    assert found.to_dict()["by_position"][0]["other"] is None


def test_the_limit_reads_the_first_tokens_of_the_store(store: TokenStore, tmp_path: Path) -> None:
    model = make_model()
    found = evaluate(model, store, ByteTokenizer(), lanes=2, chunk=CHUNK, limit_tokens=20)
    alone = evaluate(model, make_store(tmp_path / "cut", [TEXTS[0][:20]]), ByteTokenizer(), lanes=2, chunk=CHUNK)
    assert found.total.carried == pytest.approx(alone.total.carried, rel=1e-12)
    assert found.total.other is not None


def test_the_model_keeps_its_mode(store: TokenStore) -> None:
    model = make_model().train()
    evaluate(model, store, ByteTokenizer(), lanes=2, chunk=CHUNK)
    assert model.training


def test_figures_are_json_values_and_buckets_cover_every_position_once(store: TokenStore) -> None:
    found = evaluate(make_model(), store, ByteTokenizer(), lanes=2, chunk=CHUNK).to_dict()
    rows = found["by_position"]
    assert [(row["first"], row["last"]) for row in rows] == [(1, 15), (16, 31), (32, 63)]
    assert sum(row["n_tokens"] for row in rows) == found["n_tokens"]
    assert found["gain"] == pytest.approx(found["bits_per_byte_reset"] - found["bits_per_byte"])
    assert found["gain_error"] > 0
    assert found["memory_bytes"] > 0


def test_the_error_of_a_gain_that_every_document_shares_is_zero(store: TokenStore) -> None:
    found: Evaluation = evaluate(make_model(), store, ByteTokenizer(), lanes=2, chunk=1000)
    assert found.gain_error == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [([5, 9, 7, 3], [3, 2, 1, 0]), ([5, 9, 7], [2, 2, 1]), ([4, 4], [1, 0])],
)
def test_partners_are_neighbours_in_length(tmp_path: Path, sizes: list[int], expected: list[int]) -> None:
    assert partners(make_store(tmp_path / "s", ["a" * size for size in sizes])).tolist() == expected


def test_a_store_of_another_tokenizer_is_refused(store: TokenStore) -> None:
    with pytest.raises(DataError, match="was built with another tokenizer"):
        evaluate(make_model(), store, BPETokenizer.train(TEXTS, vocab_size=257), lanes=1, chunk=4)


def test_documents_of_one_token_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing to predict: every document is a single token"):
        evaluate(make_model(), make_store(tmp_path / "s", ["a", "b"]), ByteTokenizer(), lanes=1, chunk=4)


def test_sizes_below_one_are_refused(store: TokenStore) -> None:
    with pytest.raises(ConfigError, match="chunk=0 is too small"):
        evaluate(make_model(), store, ByteTokenizer(), lanes=1, chunk=0)
