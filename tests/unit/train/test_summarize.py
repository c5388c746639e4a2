"""The task of summarizing: it is learned from documents in sections, measured, and read as it was learned."""

from pathlib import Path
from typing import Any

import pytest
import torch

import everlong
from everlong.data import ByteTokenizer, ExampleStore
from everlong.data.pair_store import build_pairs, collate_pairs, edge_token
from everlong.data.pairs import Pair
from everlong.data.sectioned import SectionOptions
from everlong.evaluate.pairs import bits_per_target_byte, pair_losses
from everlong.models import create_model, list_models
from everlong.train import train
from tests.unit.train.conftest import settings

BYTES = ByteTokenizer()
OPTIONS = SectionOptions()
SMALL = {"n_heads": 2, "n_layers": 2, "d_model": 32, "d_ff": 64, "context": 16}
NAMES = {"cat": "Cat", "sea": "Sea", "狗": "狗"}


def document(name: str, place: int) -> str:
    sentences = ["It is so.", "So it is."]
    return " ".join([*sentences[:place], f"A {name}!", *sentences[place:]])


def documents(folder: Path, count: int, seed: int = 0) -> ExampleStore:
    """Documents of three sentences, and the name that one of them calls."""
    rng = torch.Generator().manual_seed(seed)
    drawn = [[int(n) for n in torch.randint(3, (2,), generator=rng)] for _ in range(count)]
    pairs = (Pair(document(list(NAMES)[name], place), list(NAMES.values())[name]) for name, place in drawn)
    return build_pairs(pairs, BYTES, folder, options=OPTIONS)


def tiny(name: str = "hierarchical-encoder-decoder", **fields: Any) -> Any:
    torch.manual_seed(0)
    return create_model(name, **{**SMALL, **fields})


def test_it_learns_and_is_used(tmp_path: Path) -> None:
    data, valid = documents(tmp_path / "data", 90), documents(tmp_path / "valid", 9, seed=1)
    config = settings(
        task="summarize", steps=400, lanes=16, lr=3e-3, clip=1.0, warmup=10, eval_every=0, save_every=0
    )  # fmt: skip
    result = train(tiny(), data, valid, config, tmp_path / "run", tokenizer=BYTES)
    assert result.best_bits is not None
    assert result.best_bits < 0.1
    run = everlong.load(tmp_path / "run")
    texts = [document(name, place) for place in (2, 0) for name in NAMES]
    assert [one.text for one in run.summarize(texts, beams=2, lanes=4)] == list(NAMES.values()) * 2
    (short,) = run.summarize(texts[:1], max_new_tokens=2)
    assert (short.text, short.ended) == ("Ca", False)


def test_only_models_that_read_in_sections_are_told_of_them(tmp_path: Path) -> None:
    store = documents(tmp_path / "data", 4)
    batch = collate_pairs([store[n] for n in range(4)], edge=edge_token(BYTES))
    told, marks = tiny(segment=7), batch.sources.sections
    assert marks is not None
    losses = pair_losses(told, batch)
    memory = told.read(batch.sources.tokens, lengths=batch.sources.lengths, sections=marks)
    expected, _, _ = told.token_losses(batch.tokens, batch.targets, memory, lengths=batch.lengths)
    assert torch.equal(losses, expected)
    other = told.read(batch.sources.tokens, lengths=batch.sources.lengths)
    assert not torch.allclose(other.source, memory.source)


@pytest.mark.parametrize("name", list_models("seq2seq"))
def test_a_document_longer_than_any_seen_is_measured_whole(name: str, tmp_path: Path) -> None:
    fields = {"d_model": 16} if name == "recurrent-encoder-decoder" else SMALL
    torch.manual_seed(0)
    model = create_model(name, **fields)
    pair = Pair("endless words and no end of them " * 60, "long")
    found = [
        bits_per_target_byte(
            model, build_pairs([one], BYTES, tmp_path / f"{n}", options=OPTIONS), BYTES, lanes=1
        )
        for n, one in enumerate([pair, Pair(pair.source[:-1] + "?", "long")])
    ]  # fmt: skip
    assert all(0 < bits < 20 for bits in found)
    assert found[0] != found[1]
