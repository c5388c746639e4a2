"""Losses by the amount of context, effective contexts and key tokens, against slow twins and by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from everlong.data import ByteTokenizer, Document, TokenStore
from everlong.errors import ConfigError, DataError
from everlong.evaluate.contexts import contexts_for, losses_by_context, losses_with_context
from everlong.evaluate.effective import SHARES, effective_context, relative_gain
from everlong.evaluate.key_tokens import is_key, key_tokens
from everlong.evaluate.targets import Targets, block_of, choose_targets
from everlong.models import create_model
from everlong.models.base import AnyLanguageModel
from tests.reference.contexts import effective_length, loss_after

TEXTS = ["the ship came in at dawn, and the crew slept. " * 2, "x", "一只鹦鹉说：八块银币！" * 4]
SIZES = {"d_model": 8, "n_layers": 2}
XL = {**SIZES, "n_heads": 2, "d_ff": 12, "segment": 4, "mem_len": 5}
SEED = 5


def make_store(folder: Path, texts: list[str]) -> TokenStore:
    return TokenStore.build([Document(str(i), text) for i, text in enumerate(texts)], ByteTokenizer(), folder)


def make_model(name: str = "transformer-xl") -> AnyLanguageModel:
    torch.manual_seed(SEED)
    model = create_model(name, **{"transformer-xl": XL, "gru": SIZES}[name]).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model.eval()


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return make_store(tmp_path / "store", TEXTS)


def owner(store: TokenStore, place: int) -> tuple[int, int]:
    """A token's document and its number in it."""
    document = int(np.searchsorted(store.starts, place, side="right")) - 1
    return document, place - int(store.starts[document])


@pytest.mark.parametrize("name", ["transformer-xl", "gru"])
@pytest.mark.parametrize(("lanes", "chunk"), [(1, 3), (3, 7), (8, 256)])
def test_every_context_equals_the_slow_twin(store: TokenStore, name: str, lanes: int, chunk: int) -> None:
    model, contexts = make_model(name), (1, 2, 8, 16, 32)
    targets = choose_targets(store, longest=32, count=13)
    found = losses_by_context(model, store, targets, contexts, lanes=lanes, chunk=chunk)
    assert found.shape == (5, 16)
    for row, context in zip(found, contexts, strict=True):
        for i, place in enumerate(targets.places):
            document, at = owner(store, int(place))
            ids = torch.from_numpy(store.document(document).astype(np.int64))
            # The first target of a window has exactly the context; those after it, what the window has read since.
            known = context + i % targets.block % block_of(context)
            assert row[i] == pytest.approx(loss_after(model, ids, at, known), rel=1e-10)


def test_windows_that_do_not_divide_a_block(store: TokenStore) -> None:
    model = make_model("gru")
    targets = Targets(first=np.array([30, 50]), block=5)
    found = losses_with_context(model, store, targets, 24, lanes=2, chunk=9)
    ids = torch.from_numpy(store.document(0).astype(np.int64))
    places = [30, 31, 32, 33, 34, 50, 51, 52, 53, 54]
    assert targets.places.tolist() == places
    known = [24, 25, 26, 24, 25] * 2
    twin = [loss_after(model, ids, at, c) for at, c in zip(places, known, strict=True)]
    assert found == pytest.approx(twin, rel=1e-10)


def test_beyond_the_reach_nothing_changes(tmp_path: Path) -> None:
    torch.manual_seed(SEED)
    model = create_model("transformer", **SIZES, n_heads=2, d_ff=12, context=4).double()
    assert model.config.reach == 6
    store = make_store(tmp_path / "store", TEXTS[:1])
    targets = choose_targets(store, longest=32, count=60)
    found = losses_by_context(model, store, targets, (4, 8, 16, 32), lanes=4, chunk=16)
    assert np.abs(found[0] - found[1]).max() > 1e-6
    np.testing.assert_allclose(found[1:], np.broadcast_to(found[3], (3, found.shape[1])), rtol=1e-10)


def test_targets_are_spread_and_have_their_context_in_their_document(store: TokenStore) -> None:
    few, all_ = (choose_targets(store, longest=16, count=count) for count in (10, 10_000))
    assert (few.block, len(few.first)) == (2, 5)
    assert set(few.first) < set(all_.first)
    for place in all_.places.tolist():
        document, at = owner(store, place)
        assert at >= 16
        assert owner(store, place)[0] in (0, 2)
        assert at < len(store.document(document))
    per_document = [(len(TEXTS[i].encode()) - 16) // 2 for i in (0, 2)]
    assert len(all_.first) == sum(per_document)
    assert {owner(store, int(place))[0] for place in few.first} == {0, 2}
    cut = choose_targets(store, longest=16, count=10_000, limit=40)
    assert cut.places.max() == 39


def test_text_that_is_too_short_is_refused(store: TokenStore) -> None:
    with pytest.raises(DataError, match=r"of no document 144 tokens are read, of which a context of 128 is part"):
        choose_targets(store, longest=128, count=10)


def test_contexts_go_beyond_the_reach_and_not_beyond_the_text() -> None:
    assert contexts_for(12, document=1000) == (1, 2, 4, 8, 16)
    assert contexts_for(16, document=1000)[-1] == 32
    assert contexts_for(None, document=100_000)[-1] == 2048
    assert contexts_for(None, document=100)[-1] == 32
    assert contexts_for(12, document=3) == (1,)
    assert contexts_for(12, document=1000, longest=64)[-1] == 64
    for wrong, near in ((100, "64 or 128"), (0, "1 or 2"), (-3, "1 or 2")):
        with pytest.raises(ConfigError, match=f"--context {wrong} is no power of two. Give {near}"):
            contexts_for(12, document=1000, longest=wrong)


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("seed", range(6))
def test_effective_contexts_equal_the_papers_algorithm(share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    contexts = (1, 2, 4, 8, 16, 32)
    decay = np.array([0.5**i for i in range(6)]) * 0.3
    nats = rng.gamma(2.0, 1.0, 200) + decay[:, None] + rng.normal(0, 0.01 * (seed % 2), (6, 200))
    found = effective_context(contexts, nats, share=share)
    assert found.length == effective_length(contexts, nats.tolist(), share=share)
    assert found.to_dict() == {
        "share": share,
        "length": found.length,
        "bounded": found.bounded,
        "gains": [*found.gains],
    }


def test_gains_by_hand() -> None:
    short, long = np.array([4.0, 1.0, 3.0, 2.0]), np.array([2.0, 5.0, 3.0, 1.0])
    # All: the second is dearer with more context, which does not count.
    assert relative_gain(short, long, share=1.0) == pytest.approx(1 - math.exp((2 + 1 + 3 + 1) / 4 - 10 / 4))
    assert relative_gain(short, long, share=0.5) == pytest.approx(1 - math.exp((2 + 3) / 2 - (4 + 3) / 2))
    assert relative_gain(short, long, share=0.1) == pytest.approx(1 - math.exp(-2))


def test_a_length_that_no_step_ended_is_a_lower_bound() -> None:
    falling = np.array([[3.0], [2.5], [2.0]])
    assert effective_context((1, 2, 4), falling, share=1.0).length == 4
    assert not effective_context((1, 2, 4), falling, share=1.0).bounded
    level = np.array([[3.0], [2.5], [2.495], [1.0]])
    assert effective_context((1, 2, 4, 8), level, share=1.0).length == 2
    assert effective_context((1, 2, 4, 8), level, share=1.0).bounded


def test_key_tokens_by_hand() -> None:
    short, full = np.array([4.0, 3.0, 5.0, 2.1, 9.0]), np.array([1.0, 1.0, 2.5, 0.05, 2.0])
    key = is_key(short, full)
    # A gain of exactly 2 is none; nor does it count where the token stays dear; 2.05 more suffices; 2.0 is not below 2.
    assert key.tolist() == [True, False, False, True, False]
    readings = {"carried": full, "reset": short, "other": None}
    found = key_tokens(key, readings, short=7)
    assert (found.n_tokens, found.n_key, found.share, found.short) == (5, 2, 0.4, 7)
    assert found.bits["carried"] == pytest.approx((1.0 + 0.05) / 2 / math.log(2))
    assert found.bits["reset"] == pytest.approx((4.0 + 2.1) / 2 / math.log(2))
    assert found.bits["other"] is None
    assert found.long_ppl == pytest.approx(math.exp(1.05 / 2))
    none = key_tokens(np.zeros(5, np.bool_), readings, short=7)
    assert (none.n_key, none.share, none.long_ppl, none.bits["reset"]) == (0, 0.0, None, None)
