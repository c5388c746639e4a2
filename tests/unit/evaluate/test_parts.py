"""evaluate_parts() against a slow twin that reads one part of one document at a time."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from everlong.data import BPETokenizer, ByteTokenizer, Document, TokenStore
from everlong.data.dialogues import session_parts, turn_parts
from everlong.data.parts import Cut, Parts, token_parts
from everlong.errors import ConfigError, DataError
from everlong.evaluate import parts as module
from everlong.evaluate.parts import PartEvaluation, edges, evaluate_parts
from everlong.memory import Memory
from everlong.models import create_model
from everlong.models.base import AnyLanguageModel
from tests.unit.evaluate.test_evaluate import make_model

TEXTS = [
    "A: one\nB: two\n",
    "A: a longer one, 船, with no answer\n",
    "A: who?\nB: you\nA: me?\nB: yes\nA: why?\nB: so\n",
    "B: once more\nA: 再来\n\nB: today\nA: 明天\n\nB: no\n",
    "A: and the last\nB: of all\n",
]
READINGS = ("carried", "reset", "other")


def make_store(folder: Path, texts: list[str] = TEXTS) -> TokenStore:
    return TokenStore.build([Document(str(i), text) for i, text in enumerate(texts)], ByteTokenizer(), folder)


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return make_store(tmp_path / "store")


@torch.no_grad()
def read_alone(model: AnyLanguageModel, ids: np.ndarray, memory: Memory | None) -> tuple[np.ndarray, Memory]:
    """Nats of every token of a part but its first, and what is remembered after it."""
    tokens = torch.from_numpy(ids)[None]
    logits, after = model(tokens, memory)
    told = torch.log_softmax(logits[0, :-1], dim=-1)
    return -told[torch.arange(len(ids) - 1), tokens[0, 1:]].numpy(), after


Costs = dict[tuple[int, int], np.ndarray]


def twin(model: AnyLanguageModel, store: TokenStore, cut: Cut, beside: dict[int, int]) -> Costs:
    """Reference: bits of each part of each document, under each reading; `beside` is whose memory is the other one."""
    tokenizer = ByteTokenizer()
    documents = [token_parts(store.document(i), tokenizer, cut) for i in range(store.n_documents)]
    left: list[list[Memory | None]] = []
    for document in documents:
        memory: Memory | None = None
        left.append([memory])
        for index in range(len(document)):
            memory = read_alone(model, document.tokens[document.part(index)], memory)[1]
            left[-1].append(memory)
    found: Costs = {}
    for number, document in enumerate(documents):
        for index in range(len(document)):
            place = document.part(index)
            theirs = left[beside[number]]
            memories = left[number][index], None, theirs[min(index, len(theirs) - 1)]
            nats = [read_alone(model, document.tokens[place], memory)[0] for memory in memories]
            found[number, index] = np.array([loss[document.counted[place][1:]].sum() for loss in nats]) / math.log(2)
    return found


def costs(found: PartEvaluation) -> np.ndarray:
    return np.array([[getattr(d.bits, reading) for reading in READINGS] for d in found.by_document])


@pytest.mark.parametrize("name", ["transformer-xl", "lstm"])
@pytest.mark.parametrize("cut", [turn_parts, session_parts])
def test_it_is_the_slow_twin(name: str, cut: Cut, store: TokenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 5)
    model = make_model(name).eval()
    # Those with the most parts first; each has the memory of the next, the last that of the first.
    order = [2, 3, 0, 4, 1] if cut is turn_parts else [3, 0, 1, 2, 4]
    beside = dict(zip(order, [*order[1:], order[0]], strict=True))
    expected = twin(model, store, cut, beside)
    found = evaluate_parts(model, store, ByteTokenizer(), cut, lanes=8)
    by_document = np.array([sum(bits for (d, _), bits in expected.items() if d == n) for n in range(5)])
    np.testing.assert_allclose(costs(found), by_document, rtol=1e-9)
    for row in found.by_part:
        rows = [bits for (_, index), bits in expected.items() if row.first <= index + 1 <= row.last]
        np.testing.assert_allclose([getattr(row.bits, r) for r in READINGS], np.sum(rows, axis=0), rtol=1e-9)
        assert row.n_parts == len(rows)
    assert [(row.first, row.last) for row in found.by_part] == (
        [(1, 1), (2, 2), (3, 4), (5, 6)] if cut is turn_parts else [(1, 1), (2, 2), (3, 3)]
    )


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_lanes_change_nothing_but_whose_memory_the_other_one_is(store: TokenStore, lanes: int) -> None:
    model = make_model()
    few, many = (evaluate_parts(model, store, ByteTokenizer(), turn_parts, lanes=n) for n in (lanes, 9))
    np.testing.assert_allclose(costs(few)[:, :2], costs(many)[:, :2], rtol=1e-9)
    assert few.total.other is not None


def test_a_document_alone_has_no_other(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", TEXTS[2:3])
    found = evaluate_parts(make_model(), store, ByteTokenizer(), turn_parts, lanes=4)
    assert (found.total.other, found.gain_error) == (None, None)
    assert found.to_dict()["perplexity"]["other"] is None


def test_figures_follow_from_sums(store: TokenStore) -> None:
    found = evaluate_parts(make_model(), store, ByteTokenizer(), turn_parts, lanes=2)
    told = found.to_dict()
    lines = [line for text in TEXTS for line in text.split("\n") if line]
    assert told["n_bytes"] == sum(len(line.partition(":")[2].encode()) + 1 for line in lines)
    assert told["gain"] == pytest.approx(told["reset"] - told["carried"])
    assert told["perplexity"]["carried"] == pytest.approx(2 ** (found.total.carried / found.total.n_tokens))
    assert sum(row["n_parts"] for row in told["by_part"]) == 16


def test_the_limit_cuts_the_last_document(store: TokenStore) -> None:
    model = make_model()
    found = evaluate_parts(model, store, ByteTokenizer(), turn_parts, lanes=2, limit_tokens=20)
    whole = evaluate_parts(model, store, ByteTokenizer(), turn_parts, lanes=2)
    assert [d.bits.n_tokens for d in found.by_document] == [10, 4]
    np.testing.assert_allclose(costs(found)[0, :2], costs(whole)[0, :2], rtol=1e-9)


def test_what_is_watched_is_what_stands_before_a_part(store: TokenStore) -> None:
    seen: dict[tuple[int, int], int] = {}

    def watch(documents: Sequence[int], index: int, memory: Memory) -> None:
        seen.update({(number, index): int(memory.position[lane]) for lane, number in enumerate(documents)})

    evaluate_parts(make_model(), store, ByteTokenizer(), turn_parts, lanes=3, watch=watch)
    assert (seen[0, 0], seen[0, 1], seen[2, 3]) == (0, 7, len("A: who?\nB: you\nA: me?\n"))


def test_what_is_refused(store: TokenStore, tmp_path: Path) -> None:
    model = make_model()
    for lanes, limit in ((0, None), (2, 0)):
        with pytest.raises(ConfigError, match=r"=0 is too small\. Choose 1 or more"):
            evaluate_parts(model, store, ByteTokenizer(), turn_parts, lanes=lanes, limit_tokens=limit)
    with pytest.raises(DataError, match="built with another tokenizer"):
        evaluate_parts(model, store, BPETokenizer.train(TEXTS, vocab_size=260), turn_parts, lanes=2)
    single = make_store(tmp_path / "single", ["a", "b"])
    with pytest.raises(DataError, match=r"nothing to predict in these texts: every part is a single token\. Give"):
        evaluate_parts(model, single, ByteTokenizer(), lambda text: Parts([0], [(0, len(text))]), lanes=2)


def test_rows_cover_every_number_once() -> None:
    covered = [number for row in range(6) for number in range(edges(row)[0], edges(row)[1] + 1)]
    assert covered == list(range(1, 33))
    assert all(edges(index.bit_length())[0] <= index + 1 <= edges(index.bit_length())[1] for index in range(32))


def test_the_model_is_left_as_it_was(store: TokenStore) -> None:
    model = create_model("gru", d_model=8, n_layers=1).train()
    evaluate_parts(model, store, ByteTokenizer(), turn_parts, lanes=2)
    assert model.training
