"""What is taught to whom, and the loss of hidden tokens."""

import math
from pathlib import Path

import pytest
import torch

from everlong.data import ByteTokenizer, Document, TokenStore
from everlong.errors import ConfigError, DataError
from everlong.evaluate import evaluate_hidden
from everlong.shapes import IGNORE
from everlong.train import Progress, train
from everlong.train.distribution import World
from everlong.train.hidden_loss import HiddenLoss
from everlong.train.tasks import TASK_OF_KIND, make_task
from everlong.train.text_tasks import make_masking
from tests.unit.train.conftest import Bench, figures, settings, tiny

BYTES = ByteTokenizer()


@pytest.mark.parametrize(
    ("architecture", "task", "message"),
    [
        (
            "bert",
            "lm",
            r"bert cannot learn task=lm, which is for .*gru, .*lstm.* Give task=mlm, or choose one of these",
        ),
        ("gru", "mlm", r"gru cannot learn task=mlm, which is for bert.* Give task=lm, or"),
    ],
)
def test_a_task_for_other_models_is_refused_before_anything_is_written(
    bench: Bench, architecture: str, task: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        bench.train("run", settings(task=task), model=tiny(architecture))
    assert not (bench.folder / "run").exists()


def test_every_kind_that_can_be_trained_has_a_task() -> None:
    assert TASK_OF_KIND == {"causal": "lm", "encoder": "mlm", "seq2seq": "translate"}


def test_the_loss_of_a_window_is_that_of_its_chunks_one_by_one(bench: Bench) -> None:
    encoder, config = tiny("bert", dropout=0.0).double(), settings(task="mlm", mask_rate=0.4)
    reader = make_task(encoder, bench.data, None, config, BYTES).reader(World())
    window = [next(reader) for _ in range(3)]
    loss = HiddenLoss(encoder, precision="float32")
    summed, memory, aux = loss(window, None)
    expected = torch.zeros((), dtype=torch.float64)
    for chunk in window:
        logits = encoder.logits(chunk.tokens).log_softmax(dim=-1)
        for lane, at in (chunk.targets != IGNORE).nonzero().tolist():
            expected -= logits[lane, at, chunk.targets[lane, at]]
    torch.testing.assert_close(summed, expected, rtol=1e-12, atol=0)
    assert memory is None
    assert aux == {}


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_low_precision_leaves_the_loss_in_float32(bench: Bench, precision: str) -> None:
    encoder, config = tiny("bert"), settings(task="mlm", mask_rate=0.4)
    loss = HiddenLoss(encoder, precision=precision)
    chunk = next(make_task(encoder, bench.data, None, config, BYTES).reader(World()))
    summed, _, _ = loss([chunk], None)
    summed.backward()
    assert summed.dtype == loss.guesses(chunk)[0].dtype == torch.float32
    assert all(bool(p.grad.isfinite().all()) for p in encoder.parameters())


def test_an_encoder_learns_and_says_how_well_it_guesses(bench: Bench) -> None:
    seen: list[Progress] = []
    config = settings(task="mlm", steps=80, lr=0.01, chunk=32, lanes=8, clip=1.0, eval_every=40)
    encoder = tiny("bert", dropout=0.0, d_model=16)
    result = bench.train("run", config, model=encoder, measured=True, report=seen.append)
    assert seen[-1].loss < 0.8 * seen[0].loss
    assert {progress.memory_bytes for progress in seen} == {0}
    last = figures(bench.folder / "run")[-1]
    assert last["valid_loss"] == pytest.approx(last["valid_bits_per_byte"] * math.log(2))
    masking = make_masking(encoder, config, BYTES)
    again = evaluate_hidden(encoder, bench.valid, BYTES, masking, lanes=3, chunk=32, limit_tokens=64)
    assert again.loss == pytest.approx(last["valid_loss"], rel=1e-5)
    assert again.accuracy == pytest.approx(last["valid_accuracy"])
    assert result.best_bits is not None


def test_every_step_hides_other_tokens_and_a_seed_the_same(bench: Bench) -> None:
    config = settings(task="mlm", steps=3)
    losses = []
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        bench.train(name, config.replace(seed=seed), model=tiny("bert", dropout=0.0))
        losses.append([line["loss"] for line in figures(bench.folder / name)])
    assert losses[0] == losses[1] != losses[2]


def test_held_out_text_in_which_nothing_is_hidden_is_refused(bench: Bench, tmp_path: Path) -> None:
    one = TokenStore.build([Document("a", "x")], BYTES, tmp_path / "one")
    with pytest.raises(DataError, match=r"none of the 1 tokens to be measured is hidden, .* Give longer text"):
        train(tiny("bert"), bench.data, one, settings(task="mlm"), tmp_path / "run", tokenizer=BYTES)
    assert not (tmp_path / "run").exists()
