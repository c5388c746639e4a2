"""``everlong train --from DIR``: what goes along, what begins new, how it goes on without DIR, and what is refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

import everlong
from everlong.checkpoint import list_checkpoints, newest_good_checkpoint, read_checkpoint
from everlong.cli import main
from everlong.models import Encoder
from everlong.models.classifier import Classifier
from tests.cli.support import CLI, TEXT
from tests.pretrained_folders import write_folder

QUICK = ["--lanes", 2, "--set", "warmup=1", "--set", "save_every=1"]


def write_texts(path: Path, *, labels: tuple[str, str] = ("good", "bad")) -> Path:
    """Texts whose words tell their label."""
    told = {labels[0]: "the ships sailed", labels[1]: "naive sea, at sea"}
    rows = [json.dumps({"text": f"{told[label]} the ship", "label": label}) for label in labels * 12]
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def first_weights(run: Path) -> dict[str, Tensor]:
    """The weights before the first update."""
    return read_checkpoint(list_checkpoints(run)[0]).tensors("model")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("texts") / "texts.jsonl")


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted")
    everlong.convert(write_folder(folder / "theirs", "bert")).save(folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def classifier(converted: Path, texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that began with a converted encoder; two updates."""
    out = tmp_path_factory.mktemp("classifier") / "run"
    words = ["train", "bert", "--from", converted, "--task", "classify", "--data", texts, "--out", out, *QUICK]
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in [*words, "--steps", 2, "--set", "keep=9", "--set", "dropout=0"]])
    assert end.value.code in (0, None)
    return out


def test_a_converted_encoder_learns_labels(classifier: Path, converted: Path, cli: CLI, tmp_path: Path) -> None:
    ours, theirs = first_weights(classifier), first_weights(converted)
    assert set(ours) - {f"encoder.{name}" for name in theirs} == {"classes.map.weight", "classes.map.bias"}
    assert all(torch.equal(ours[f"encoder.{name}"], weight) for name, weight in theirs.items())
    run = everlong.load(classifier)
    assert run.config.dropout == 0
    assert run.tokenizer.digest == everlong.load(converted).tokenizer.digest
    (tmp_path / "a.txt").write_text("the ships sailed", encoding="utf-8")
    assert cli("classify", classifier, tmp_path / "a.txt").code == 0


def test_a_classifier_learns_other_labels_or_goes_on_with_the_same(
    classifier: Path, texts: Path, cli: CLI, tmp_path: Path
) -> None:
    words = ("train", "bert", "--from", classifier, *QUICK, "--steps", 1, "--task", "classify", "--data")
    ended = cli(*words, texts, "--out", tmp_path / "same")
    assert ended.code == 0, ended.err
    assert f"begins with the weights of {classifier} (task=classify, " in ended.err
    assert "head" not in ended.err
    best = everlong.load(classifier).model.state_dict()
    assert all(torch.equal(best[name], weight) for name, weight in first_weights(tmp_path / "same").items())
    ended = cli(*words, write_texts(tmp_path / "other.jsonl", labels=("sea", "land")), "--out", tmp_path / "other")
    assert ended.code == 0, ended.err
    assert "; the head for classes is new; the head for classes is left behind" in ended.err
    model = everlong.load(tmp_path / "other").model
    assert isinstance(model, Classifier)
    assert model.labels == ("land", "sea")


def test_a_classifier_goes_back_to_hidden_tokens(classifier: Path, book: Path, cli: CLI, tmp_path: Path) -> None:
    ended = cli("train", "--from", classifier, "--data", book, "--out", tmp_path / "run", *QUICK, "--steps", 1)
    assert ended.code == 0, ended.err
    assert "; the head for classes is left behind" in ended.err
    assert "is new" not in ended.err
    assert type(everlong.load(tmp_path / "run").model) is type(everlong.load(classifier).model.backbone)


def test_a_language_model_goes_on_with_other_text(trained_once: Path, cli: CLI, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text(TEXT.upper(), encoding="utf-8")
    words = (
        "train",
        "transformer-xl",
        "--from",
        trained_once,
        "--data",
        tmp_path / "other.txt",
        "--out",
        tmp_path / "run",
    )
    ended = cli(*words, *QUICK, "--chunk", 8, "--steps", 1, "--set", "mem_len=12")
    assert ended.code == 0, ended.err
    assert f"begins with the weights of {trained_once} (task=lm, 12 steps)\n" in ended.err
    best = everlong.load(trained_once).model.state_dict()
    assert all(torch.equal(best[name], weight) for name, weight in first_weights(tmp_path / "run").items())
    assert everlong.load(tmp_path / "run").config.mem_len == 12  # pyright: ignore


def test_it_goes_on_without_dir_also_where_it_had_not_begun(
    converted: Path, texts: Path, cli: CLI, tmp_path: Path
) -> None:
    dir_, whole, parts = (tmp_path / name for name in ("dir", "whole", "parts"))
    shutil.copytree(converted, dir_)
    words = ("train", "bert", "--from", dir_, "--task", "classify", "--data", texts, *QUICK, "--steps", 4)
    assert cli(*words, "--out", whole).code == 0
    assert cli(*words, "--out", parts).code == 0
    shutil.rmtree(dir_)
    # As if it had been killed after two updates, and then before its first checkpoint.
    for gone in (list_checkpoints(parts)[-1:], list_checkpoints(parts)):
        for folder in gone:
            shutil.rmtree(folder)
        ended = cli("train", "--resume", "--out", parts)
        assert ended.code == 0, ended.err
        last = [newest_good_checkpoint(run) for run in (whole, parts)]
        one, other = (checkpoint.tensors("model") for checkpoint in last if checkpoint)
        assert all(torch.equal(one[name], other[name]) for name in one)
    cli(*words, "--out", tmp_path / "new").require_refusal("there is no folder")
    cli("train", "--resume", "--out", parts, "--from", whole).require_refusal("knows what it began with")


@pytest.mark.slow
def test_two_ranks_begin_alike(converted: Path, texts: Path, tmp_path: Path) -> None:
    ended: list[dict[str, Tensor]] = []
    for ranks in (1, 2):
        out = tmp_path / f"run{ranks}"
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", ranks, "-m", "everlong"]
        words = ["train", "--from", converted, "--task", "classify", "--data", texts, "--out", out, *QUICK]
        command = [sys.executable, *launcher, *words, "--steps", 2, "--set", "dropout=0"]
        subprocess.run([str(word) for word in command], check=True, capture_output=True)
        last = newest_good_checkpoint(out)
        assert last is not None
        ended.append(last.tensors("model"))
    one, two = ended
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=1e-5)


def test_a_start_that_never_trained_is_started_again(converted: Path, texts: Path, cli: CLI, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ("train", "bert", "--task", "classify", "--data", texts, "--out", out, *QUICK, "--steps", 1)
    assert cli(*words, "--from", converted).code == 0
    shutil.rmtree(out / "checkpoints")
    cli(*words).require_refusal("was prepared to begin with the weights of another run")
    assert cli(*words, "--from", converted).code == 0


@pytest.mark.filterwarnings("default::everlong.checkpoint.DamagedCheckpointWarning")
def test_what_is_refused_leaves_nothing_behind(
    converted: Path, trained_once: Path, texts: Path, cli: CLI, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    words = ("train", "bert", "--task", "classify", "--data", texts, "--out", out, "--from")
    cli(*words, tmp_path / "none").require_refusal("there is no folder", "none")
    cli(*words, tmp_path).require_refusal("is not a run: it has no config.json")
    cli(*words, trained_once).require_refusal(
        f"the weights in {trained_once} are those of a transformer-xl, not of a bert. Name transformer-xl, or leave out"
    )
    cli(*words, converted, "--tokenizer", "byte").require_refusal("--from brings the tokenizer that its weights")
    cli(*words, converted, "--set", "n_layers=3").require_refusal("n_layers=3 changes the weights of this bert")
    cli(*words, converted, "--set", "vocab_size=9").require_refusal("vocab_size is that of the tokenizer")
    cli(*words, converted, "--set", "task.limit=2").require_refusal(
        "limit=2 leaves no room for a text between the 2 symbols around it. Give more than 2, or 0 for all of each"
    )
    assert not out.exists()
    cli("train", "transformer-xl", "--task", "babi", "--out", out, "--from", trained_once).require_refusal(
        "task=babi has no use for --from"
    )
    (weights,) = converted.glob("checkpoints/*/model.safetensors")
    damaged = shutil.copytree(converted, tmp_path / "damaged")
    (damaged / weights.relative_to(converted)).write_bytes(b"short")
    cli(*words, damaged).require_refusal("is damaged: its contents do not match their checksum")
    assert not out.exists()


def test_a_machine_that_read_vectors_has_nothing_for_text(cli: CLI, book: Path, tmp_path: Path) -> None:
    small = ("--set", "d_model=8", "--set", "task.max_length=2", "--lanes", 2, "--steps", 1)
    assert cli("train", "lstm", "--task", "copy", "--out", tmp_path / "copy", *small).code == 0
    words = ("train", "lstm", "--from", tmp_path / "copy", "--out", tmp_path / "run")
    cli(*words, "--data", book).require_refusal("learned from generated sequences, not from text")
    cli(*words, "--task", "copy").require_refusal("task=copy has no use for --from: it is generated and reads no text")
    assert not (tmp_path / "run").exists()


def test_python_does_the_same(classifier: Path, book: Path, tmp_path: Path) -> None:
    from everlong.data import TokenStore, read_documents
    from everlong.train import TrainConfig, train

    run = everlong.load(classifier)
    store = TokenStore.build(read_documents([book]), run.tokenizer, tmp_path / "store")
    config = TrainConfig(task="mlm", steps=1, lanes=2, chunk=8)
    train(run.model, store, None, config, tmp_path / "run", tokenizer=run.tokenizer)
    before = everlong.load(classifier).model
    assert isinstance(before, Classifier)
    after = first_weights(tmp_path / "run")
    assert isinstance(before.encoder, Encoder)
    assert all(torch.equal(before.encoder.state_dict()[name], weight) for name, weight in after.items())
