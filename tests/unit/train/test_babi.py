"""Training on questions about stories."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from everlong.data import ByteTokenizer, ExampleStore
from everlong.data.babi import build_babi, collate_stories
from everlong.data.babi_files import BabiOptions
from everlong.data.words import WordTokenizer
from everlong.errors import ConfigError
from everlong.evaluate.babi import evaluate_stories
from everlong.models import create_model
from everlong.run import load
from everlong.shapes import IGNORE
from everlong.train import Progress, TrainConfig, train
from everlong.train.babi import StoryLoss
from tests.stories import TWO, folder, moves
from tests.unit.train.conftest import SIZES, figures, tiny
from tests.unit.train.test_train import PowerCutError, cut_power

Stories = tuple[ExampleStore, ExampleStore, WordTokenizer]


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Stories:
    home = tmp_path_factory.mktemp("babi")
    files = {
        "qa1_where_train.txt": moves(stories=400, seed=1),
        "qa1_where_test.txt": moves(stories=50, seed=2),
        "qa8_lists_train.txt": TWO,
        "qa8_lists_test.txt": TWO,
    }
    place = {"train": home / "t", "held_out": home / "h"}
    tokenizer = build_babi([folder(home / "f", files)], [], BabiOptions(), **place)
    return ExampleStore.open(home / "t"), ExampleStore.open(home / "h"), tokenizer


def reading(**changes: Any) -> TrainConfig:
    fields = {"task": "babi", "steps": 7, "lanes": 4, "warmup": 2, "eval_every": 2, "save_every": 3, "eval_examples": 9}
    return TrainConfig(**{**fields, **changes})


def reader(stories: Stories, name: str = "lstm", *, seed: int = 0, **fields: Any) -> Any:
    return tiny(name, seed=seed, vocab_size=stories[2].vocab_size, **fields)


@pytest.mark.parametrize("name", ["lstm", "dnc", "transformer", "compressive-transformer"])
def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(stories: Stories, tmp_path: Path, name: str) -> None:
    data, valid, tokenizer = stories
    whole, other = reader(stories, name), reader(stories, name, seed=1)
    train(whole, data, valid, reading(), tmp_path / "whole", tokenizer=tokenizer)
    with pytest.raises(PowerCutError):
        train(reader(stories, name), data, valid, reading(), tmp_path / "b", tokenizer=tokenizer, report=cut_power(5))
    train(other, data, valid, reading(), tmp_path / "b", tokenizer=tokenizer, resume=True)
    assert other.weights_digest() == whole.weights_digest()
    assert figures(tmp_path / "b") == figures(tmp_path / "whole")


def test_the_loss_is_that_of_the_words_asked_for(stories: Stories) -> None:
    model = reader(stories).double()
    examples = [stories[0][n] for n in (0, 400, 401)]
    expected = torch.zeros((), dtype=torch.float64)
    for example in examples:
        logits = model(torch.from_numpy(example["tokens"])[None])[0][0].log_softmax(-1)
        expected -= sum(logits[at, t] for at, t in enumerate(example["targets"]) if t != IGNORE)
    loss = StoryLoss(model, precision="float32")
    summed, memory, aux = loss([collate_stories(examples[:1]), collate_stories(examples[1:])], None)
    torch.testing.assert_close(summed, expected, rtol=1e-12, atol=0)
    assert (memory, aux) == (None, {})


def test_figures_are_bits_per_answer(stories: Stories, tmp_path: Path) -> None:
    data, valid, tokenizer = stories
    model, seen = reader(stories), list[Progress]()
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    train(model, data, valid, reading(lr=1e-9, steps=2), tmp_path / "run", tokenizer=tokenizer, report=seen.append)
    # Whoever knows nothing pays log2 of the vocabulary for a word; 403 - 1 of the answers have one word, one has two.
    guess = math.log2(tokenizer.vocab_size)
    about = data.about
    words = about["n_answer_words"] / about["n_questions"]
    assert (about["n_answer_words"], about["n_questions"]) == (1603, 1602)
    assert seen[0].bits == pytest.approx(guess * words, rel=1e-5)
    (line,) = [line for line in figures(tmp_path / "run") if "valid_bits_per_answer" in line]
    assert line["valid_bits_per_answer"] == seen[1].valid_bits
    assert {"bits_per_answer", "valid_error", "valid_failed"} <= line.keys()
    assert (seen[1].per.name, seen[1].memory_bytes) == ("answer", 0)
    assert seen[1].measured is not None
    assert "of 1 tasks failed" in seen[1].measured.remark


def test_a_run_knows_its_words(stories: Stories, tmp_path: Path) -> None:
    data, valid, tokenizer = stories
    train(reader(stories), data, valid, reading(steps=1), tmp_path / "run", tokenizer=tokenizer)
    run = load(tmp_path / "run")
    assert run.tokenizer.digest == tokenizer.digest
    session = run.session()
    session.read("Mary went to the garden. Where is Mary? -")
    assert session.write(max_new_tokens=1).strip() in tokenizer.words


def test_what_does_not_fit_is_refused_before_anything_is_written(stories: Stories, tmp_path: Path) -> None:
    data, _, tokenizer = stories
    with pytest.raises(ConfigError, match=r"bert cannot learn task=babi, which is for .*dnc, .*lstm"):
        train(tiny("bert"), data, None, reading(), tmp_path / "run", tokenizer=tokenizer)
    with pytest.raises(ConfigError, match=r"task=babi reads words, and was given a tokenizer of kind byte\. Give the"):
        train(reader(stories), data, None, reading(), tmp_path / "run", tokenizer=ByteTokenizer())
    vectors = create_model("lstm", input_size=3, output_size=2, **SIZES["lstm"])
    with pytest.raises(ConfigError, match="task=babi is about tokens; the model has input_size=3"):
        train(vectors, data, None, reading(), tmp_path / "run", tokenizer=tokenizer)
    assert not (tmp_path / "run").exists()


def test_lstm_learns_where_people_are(stories: Stories, tmp_path: Path) -> None:
    """Three places: who guesses is wrong in two of three questions."""
    data, valid, tokenizer = stories
    model = reader(stories, d_model=32)
    config = reading(steps=300, lanes=16, lr=0.01, clip=1.0, eval_every=0, save_every=0, weight_decay=0.0)
    train(model, data, valid, config, tmp_path / "run", tokenizer=tokenizer)
    found = evaluate_stories(load(tmp_path / "run").language_model, valid, lanes=16)
    assert found.tasks[0].error < 0.2
