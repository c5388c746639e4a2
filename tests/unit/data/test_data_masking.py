from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from everlong.data import (
    BPETokenizer,
    ByteTokenizer,
    Chunk,
    Document,
    LaneReader,
    MaskedReader,
    Masking,
    Tokenizer,
    TokenStore,
)
from everlong.shapes import IGNORE

MASK = 256
BYTES = ByteTokenizer()


def masking(**changes: Any) -> Masking:
    return Masking(**{"tokenizer": BYTES, "mask_token": MASK, "rate": 0.15, "unit": "token", **changes})


def chunk(tokens: torch.Tensor, lengths: torch.Tensor | None = None) -> Chunk:
    full = torch.full((len(tokens),), tokens.shape[1])
    return Chunk(
        tokens=tokens,
        targets=torch.zeros_like(tokens),
        starts=torch.zeros_like(tokens, dtype=torch.bool),
        lengths=full if lengths is None else lengths,
    )


def text(words: str, tokenizer: Tokenizer = BYTES) -> torch.Tensor:
    return torch.tensor([tokenizer.encode(words)])


def chosen_alone(words: str, tokenizer: Tokenizer = BYTES) -> set[str]:
    """What is hidden when a single unit is: the units of a text, as words."""
    ids, found = text(words, tokenizer), set[str]()
    for seed in range(400):
        masks = masking(tokenizer=tokenizer, unit="word", rate=0.08, mask_token=tokenizer.vocab_size)
        targets = masks.hide(chunk(ids), [(seed,)]).targets[0]
        places = (targets != IGNORE).nonzero().flatten()
        if len(places) and int(places[-1] - places[0]) == len(places) - 1:
            found.add(tokenizer.decode(targets[places].tolist()))
    return found


@pytest.mark.parametrize("unit", ["token", "word", "span"])
def test_shares_are_those_of_the_paper(unit: Any) -> None:
    tokens = text("Jim said that the ship was at sea. " * 3000)
    hidden = masking(unit=unit).hide(chunk(tokens), [(7,)])
    asked = hidden.targets != IGNORE
    assert float(asked.double().mean()) == pytest.approx(0.15, rel=0.1)
    read, wanted = hidden.tokens[asked], hidden.targets[asked]
    assert float((read == MASK).double().mean()) == pytest.approx(0.8, rel=0.05)
    assert float((read == wanted).double().mean()) == pytest.approx(0.1, rel=0.2)
    others = read[(read != MASK) & (read != wanted)]
    assert len(others.unique()) > 200
    assert int(others.max()) < 256


def test_what_is_not_chosen_stays_and_what_is_chosen_is_the_target() -> None:
    tokens = torch.randint(256, (3, 500))
    hidden = masking().hide(chunk(tokens), [(0,), (1,), (2,)])
    asked = hidden.targets != IGNORE
    assert torch.equal(hidden.tokens[~asked], tokens[~asked])
    assert torch.equal(hidden.targets[asked], tokens[asked])
    assert hidden.tokens is not tokens
    assert int(tokens.max()) < 256


def test_chance_follows_from_the_key_and_the_lane_itself() -> None:
    tokens = torch.randint(256, (2, 300)).repeat(2, 1)
    hidden = masking().hide(chunk(tokens), [(5, 1), (5, 1), (5, 1), (5, 2)])
    assert torch.equal(hidden.targets[0] == IGNORE, hidden.targets[1] == IGNORE)
    assert torch.equal(hidden.tokens[0], hidden.tokens[2])
    assert not torch.equal(hidden.targets[1] == IGNORE, hidden.targets[3] == IGNORE)
    alone = masking().hide(chunk(tokens[3:]), [(5, 2)])
    assert torch.equal(alone.tokens[0], hidden.tokens[3])


def test_padding_is_neither_hidden_nor_asked_for() -> None:
    tokens = torch.randint(256, (2, 300))
    hidden = masking(rate=1.0).hide(chunk(tokens, torch.tensor([120, 0])), [(1,), (2,)])
    assert bool((hidden.targets[0, :120] != IGNORE).all())
    assert bool((hidden.targets[0, 120:] == IGNORE).all())
    assert bool((hidden.targets[1] == IGNORE).all())
    assert torch.equal(hidden.tokens[0, 120:], tokens[0, 120:])
    assert torch.equal(hidden.tokens[1], tokens[1])


def test_words_are_hidden_whole() -> None:
    found = chosen_alone("one  two,three\nélan 船长 abc")
    assert {"one", "two,three", "élan", "abc"} <= found
    assert {"船", "长"} <= found
    assert not {"t", "n", "two", "an", "船长 abc"} & found


def test_words_of_a_vocabulary_are_its_tokens_up_to_the_next_white_space() -> None:
    tokenizer = BPETokenizer.train(["low lower lowest slow"] * 9, vocab_size=262)
    found = chosen_alone("slowest lower x", tokenizer)
    assert {"slowest", "lower", "x"} == {part for words in found for part in words.split()}


def test_spans_are_longer_than_tokens() -> None:
    tokens = torch.randint(256, (1, 20000))

    def runs(unit: Any) -> float:
        asked = (masking(unit=unit).hide(chunk(tokens), [(1,)]).targets[0] != IGNORE).numpy()
        return asked.sum() / np.diff(asked.astype(int), prepend=0).clip(min=0).sum()

    assert runs("token") == pytest.approx(1 / 0.85, rel=0.05)
    assert 5 < runs("span") < 7


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    folder: Path = tmp_path_factory.mktemp("store")
    return TokenStore.build([Document("a", "The ship was at sea. " * 40)], BYTES, folder / "s")


def reader(store: TokenStore, *, seed: int = 3, rank: int = 0, world: int = 1) -> MaskedReader:
    lanes = LaneReader(store, lanes=4, chunk=50, rank=rank, world=world)
    return MaskedReader(lanes, masking(rate=0.3), seed=seed)


def test_every_reading_of_the_text_hides_other_tokens(store: TokenStore) -> None:
    chunks = [one for one, _ in zip(reader(store), range(9), strict=False)]
    plain = [one for one, _ in zip(LaneReader(store, lanes=4, chunk=50), range(9), strict=False)]
    for one, other in zip(chunks, plain, strict=True):
        assert torch.equal(one.tokens.where(one.targets == IGNORE, other.tokens), other.tokens)
        assert torch.equal(one.targets.where(one.targets != IGNORE, other.tokens), other.tokens)
        assert torch.equal(one.starts, other.starts)
    places = {one.targets.eq(IGNORE).numpy().tobytes() for one in chunks}
    assert len(places) == 9
    assert not torch.equal(next(reader(store, seed=4)).targets, chunks[0].targets)


def test_a_reader_goes_on_where_its_cursor_was_taken(store: TokenStore) -> None:
    whole = reader(store)
    for _ in range(7):
        next(whole)
    again = reader(store).seek(whole.cursor())
    for _ in range(3):
        one, other = next(whole), next(again)
        assert torch.equal(one.tokens, other.tokens)
        assert torch.equal(one.targets, other.targets)


def test_ranks_hide_what_one_rank_would(store: TokenStore) -> None:
    whole, parts = reader(store), [reader(store, rank=rank, world=2) for rank in range(2)]
    for _ in range(5):
        assert torch.equal(torch.cat([next(part).tokens for part in parts]), next(whole).tokens)
