"""The task of answering: that encoders learn it, what it measures, and a run that was killed."""

import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from everlong.data import ByteTokenizer, ExampleStore
from everlong.data.asked import AnswerOptions, build_asked
from everlong.data.questions import Answer, Question
from everlong.errors import ConfigError, DataError
from everlong.evaluate.spans import evaluate_spans, point
from everlong.models import Encoder, create_model
from everlong.models.answerer import Answerer
from everlong.run import load
from everlong.train import TrainConfig, train
from everlong.train.answer import reading_of
from everlong.train.tasks import TASKS
from tests.unit.train.conftest import figures, settings
from tests.unit.train.test_train import PowerCutError, cut_power

BYTES = ByteTokenizer()


def marked(count: int, *, seed: int, declined: bool = False) -> list[Question]:
    """Which letters stand between the brackets? Now and then there are none."""
    rng, asked = random.Random(seed), list[Question]()
    for n in range(count):
        word = "".join(rng.choices("xyz", k=rng.randint(1, 3)))
        before, after = ("".join(rng.choices("xyz ", k=rng.randint(2, 9))) for _ in range(2))
        context = f"{before} {after}" if declined and n % 3 == 0 else f"{before}[{word}]{after}"
        at = context.find("[") + 1
        answers = (Answer(word, (at, at + len(word))),) if at else ()
        asked.append(Question(f"a.jsonl:{n + 1}", context, "Q", answers))
    return asked


def store(folder: Path, count: int = 96, *, seed: int = 0, declined: bool = False, **options: int) -> ExampleStore:
    return build_asked(marked(count, seed=seed, declined=declined), BYTES, AnswerOptions(**options), folder)


def encoder(name: str = "bert", **fields: Any) -> Encoder:
    torch.manual_seed(0)
    return create_model(name, **{"d_model": 16, "n_layers": 2, **fields})


def learning(**changes: Any) -> TrainConfig:
    fields = {"task": "answer", "steps": 6, "lanes": 4, "eval_every": 2, "save_every": 3, "chunk": 256, "window": 1}
    return settings(**{**fields, "memory_dropout": 0.0, **changes})


SIZES: dict[str, dict[str, Any]] = {
    "bert": {"d_ff": 32},
    "bilstm": {},
    "hierarchical-encoder": {"d_ff": 32, "segment": 64},
    "longformer-encoder": {"d_ff": 32, "window": 8},
    "reformer-encoder": {},
}


@pytest.mark.parametrize("name", TASKS["answer"].learners())
def test_every_encoder_that_joins_sections_learns_to_answer(name: str, tmp_path: Path) -> None:
    data, valid, out = store(tmp_path / "data"), store(tmp_path / "valid", 24, seed=1), tmp_path / "run"
    config = learning(steps=120, lanes=8, lr=0.01, warmup=5, clip=1.0, eval_every=0, save_every=0)
    train(encoder(name, **SIZES[name]), data, valid, config, out, tokenizer=BYTES)
    assert figures(out)[-1]["valid_exact"] >= 0.8
    run = load(out)
    assert isinstance(run.model, Answerer)
    assert run.model.architecture == name
    told = run.answer("xy zz[yx]zy", "Q")
    assert "xy zz[yx]zy"[told.begin : told.end] == told.text


def test_it_learns_that_windows_and_texts_have_no_answer(tmp_path: Path) -> None:
    data = store(tmp_path / "data", 120, declined=True, width=16, overlap=8)
    valid = store(tmp_path / "valid", 30, seed=1, declined=True, width=16, overlap=8)
    assert len(valid) > 30
    config = learning(steps=200, lanes=16, lr=0.01, warmup=5, clip=1.0, eval_every=0, save_every=0)
    train(encoder(d_ff=32), data, valid, config, tmp_path / "run", tokenizer=BYTES)
    assert figures(tmp_path / "run")[-1]["valid_exact"] >= 0.9
    run = load(tmp_path / "run")
    assert run.answer("xyz zz xy", "Q").begin is None
    assert run.answer("xyz zz xy" * 9 + "[zy] zxy", "Q").text == "zy"


def test_han_cannot_learn_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="han cannot learn task=answer, which is for bert, "):
        train(encoder("han"), store(tmp_path / "data"), None, learning(), tmp_path / "run", tokenizer=BYTES)


def test_some_questions_are_measured_with_all_of_their_windows(tmp_path: Path) -> None:
    model, valid = Answerer(encoder()), store(tmp_path / "valid", 10, width=12, overlap=4)
    kwargs: dict[str, Any] = {"longest": 3, "declines": False, "point": partial(point, model)}
    whole = evaluate_spans(model, valid, lanes=3, **kwargs)
    assert (whole.n_questions, whole.n_windows) == (10, len(valid))
    some = evaluate_spans(model, valid, lanes=3, limit=4, **kwargs)
    numbers = [int(valid[row]["number"][0]) for row in range(len(valid))]
    assert (some.n_questions, some.n_windows) == (4, sum(number in (0, 2, 5, 7) for number in numbers))
    for name, lanes, limit in (("lanes", 0, 1), ("limit", 1, 0)):
        with pytest.raises(ConfigError, match=rf"{name}=0 is too small\. Choose 1 or more"):
            evaluate_spans(model, valid, lanes=lanes, limit=limit, **kwargs)


def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    data, valid = store(tmp_path / "data"), store(tmp_path / "valid", 12, seed=1)
    train(encoder(dropout=0.2), data, valid, learning(), tmp_path / "whole", tokenizer=BYTES)
    with pytest.raises(PowerCutError):
        train(encoder(dropout=0.2), data, valid, learning(), tmp_path / "cut", tokenizer=BYTES, report=cut_power(4))
    train(encoder(dropout=0.2), data, valid, learning(), tmp_path / "cut", tokenizer=BYTES, resume=True)
    assert load(tmp_path / "cut").model.weights_digest() == load(tmp_path / "whole").model.weights_digest()


def test_a_store_says_how_its_questions_were_read(tmp_path: Path) -> None:
    made = store(tmp_path / "data", 8)
    silent = ExampleStore.build([made[n] for n in range(8)], made.fields, tmp_path / "silent")
    with pytest.raises(DataError, match=r"these examples do not say how their questions were read\. Build the store"):
        train(encoder(), silent, None, learning(), tmp_path / "run", tokenizer=BYTES)
    options, declines = reading_of(made.about)
    assert (options.longest_answer, declines) == (made.about["longest_answer"], False)
