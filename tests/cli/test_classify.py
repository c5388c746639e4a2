"""Labelled texts to a run, its figures, and labels of new texts; and what is refused on the way."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

import everlong
from everlong.cli import main
from everlong.data import ExampleStore
from everlong.models.classifier import Classifier
from everlong.models.hierarchical_encoder import HierarchicalEncoderConfig
from everlong.train.folder import HELD_OUT_EXAMPLES
from tests.cli.support import CLI

WORDS = {"good": ["great", "lovely", "moving"], "bad": ["dull", "awful", "weak"]}


def write_texts(path: Path, count: int, *, seed: int) -> Path:
    """Three short sentences, one of which has a word that tells."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        label = ("good", "bad")[number % 2]
        sentences = ["It is a film", "We saw it", "The day was"]
        sentences[rng.randrange(3)] += f" {rng.choice(WORDS[label])}"
        rows.append(json.dumps({"text": ". ".join(sentences) + ".", "label": label}))
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classify")
    data, out = write_texts(folder / "train.jsonl", 120, seed=0), folder / "run"
    words = ["train", "han", "--task", "classify", "--data", data, "--out", out, "--steps", 60, "--lanes", 16]
    sets = ["d_model=16", "lr=0.02", "warmup=5", "clip=1", "eval_every=20", "task.longest=40"]
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in [*words, *(part for one in sets for part in ("--set", one))]])
    assert end.value.code in (0, None)
    return out


def test_it_learned_and_its_labels_are_measured(run: Path, cli: CLI, tmp_path: Path) -> None:
    data = write_texts(tmp_path / "test.jsonl", 40, seed=1)
    ending = cli("eval", run, "--data", data, "--json")
    found = json.loads(ending.out)
    assert (found["n_texts"], found["left_out"], set(found["f1"])) == (40, 0, {"good", "bad"})
    assert found["accuracy"] > 0.9
    assert found["macro_f1"] > 0.9
    ending = cli("eval", run, "--data", data, "--set", "task.limit=5")
    held_out = cli("eval", run, "--json").answer
    assert held_out["n_texts"] == len(ExampleStore.open(run / HELD_OUT_EXAMPLES)) > 0
    assert held_out["accuracy"] > 0.5
    assert "limit=5 left out" in ending.err
    assert "of 40 labels told, macro-F1" in ending.out


def test_new_texts_get_labels_and_reasons(run: Path, cli: CLI, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("We saw it. It is a film awful. The day was.", encoding="utf-8")
    ending = cli("classify", run, tmp_path / "a.txt", "--explain")
    assert ending.out.startswith(f"{tmp_path / 'a.txt'}\tbad\t")
    assert "It is a film awful." in ending.out
    assert "awful " in ending.out
    ending = cli("classify", run, tmp_path / "a.txt", "--json")
    (told,) = json.loads(ending.out)["texts"]
    assert (told["label"], told["left_out"], told["sentences"]) == ("bad", 0, None)
    (again,) = everlong.load(run).classify(["We saw it. It is a film awful. The day was."])
    assert again.probability == told["probability"]
    assert list(again.probabilities) == ["bad", "good"]


def test_a_run_goes_on(run: Path, cli: CLI) -> None:
    ending = cli("train", "--resume", "--out", run, "--steps", 62)
    assert ending.code == 0, ending.err
    assert "done: 62 steps" in ending.err


def test_what_is_refused(run: Path, cli: CLI, trained: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text('{"text": "a", "label": "god"}', encoding="utf-8")
    cli("eval", run, "--data", other).require_refusal(
        "other.jsonl:1 has the label 'god', which was not learned. Did you mean 'good'? Labels are bad, good."
    )
    stored = cli("eval", run, "--set", "task.limit=5")
    stored.require_refusal("no labelled texts are given to measure. Write --data and the names of files.")
    cli("eval", run, "--data", other, "--chunk", 9).require_refusal("no use for --chunk: it is measured on JSON lines")
    (tmp_path / "empty.txt").write_text(" \n", encoding="utf-8")
    cli("classify", run, tmp_path / "empty.txt").require_refusal("has nothing but white space in it. Leave it out.")
    cli("classify", run, tmp_path / "missing.txt").require_refusal("there is no file or folder")
    (tmp_path / "a.txt").write_text("text", encoding="utf-8")
    cli("classify", trained, tmp_path / "a.txt").require_refusal(
        "did not learn to classify texts. Train an encoder for"
    )
    words = ("train", "han", "--task", "classify", "--out", tmp_path / "new", "--data")
    cli(*words, tmp_path / "a.txt").require_refusal("a.txt:1 is not JSON")
    cli(*words, other).require_refusal("all texts have the same label, 'god', so there is nothing to tell apart.")
    gru = ("train", "gru", "--task", "classify", "--out", tmp_path / "new", "--data", other)
    cli(*gru).require_refusal("gru cannot learn task=classify, which is for bert, bilstm, han")
    assert not (tmp_path / "new").exists()


def test_an_encoder_of_sections_with_another_one_inside(cli: CLI, tmp_path: Path) -> None:
    data, out = write_texts(tmp_path / "train.jsonl", 40, seed=2), tmp_path / "run"
    words = ["train", "hierarchical-encoder", "--task", "classify", "--data", data, "--steps", 2, "--lanes", 4]
    words += ["--set", "d_model=16", "--set", "d_ff=16", "--set", "layout=SDD", "--set", "n_layers=2"]
    inside = ["--set", "inside=longformer-encoder", "--set", 'inside_config={"window": 8, "n_layers": 1, "d_ff": 16}']
    ending = cli(*words, "--out", out, *inside)
    assert ending.code == 0, ending.err
    config = everlong.load(out).config
    assert isinstance(config, HierarchicalEncoderConfig)
    assert (config.inside, config.inside_config["window"]) == ("longformer-encoder", 8)
    assert cli("train", "--resume", "--out", out, "--steps", 3).code == 0
    ending = cli("eval", out, "--data", data, "--json")
    assert json.loads(ending.out)["n_texts"] == 40
    new = (*words, "--out", tmp_path / "new")
    cli(*new, "--set", "inside=gru").require_refusal(
        "inside = 'gru' does not fit: that is no encoder that reads a text"
    )
    cli(*new, *inside[:2], "--set", 'inside_config={"windw": 8}').require_refusal("Did you mean 'window'?")
    cli(*new, *inside[:2], "--set", "inside_config=window").require_refusal("inside_config = 'window' does not fit")
    assert not (tmp_path / "new").exists()


def test_the_command_that_is_named_at_the_end_can_be_run(cli: CLI, tmp_path: Path) -> None:
    rows = [json.dumps({"text": f"It is {word}.", "label": word}) for word in ("one", "two")]
    (tmp_path / "few.jsonl").write_text("\n".join(rows))
    words = ["train", "bert", "--task", "classify", "--data", tmp_path / "few.jsonl", "--out", tmp_path / "run"]
    ended = cli(*words, "--steps", 1, "--set", "d_model=8", "--set", "n_heads=2", "--set", "n_layers=1")
    assert not (tmp_path / "run" / HELD_OUT_EXAMPLES).exists()
    assert f"try: everlong eval {tmp_path / 'run'} --data PATH" in ended.err
    cli("eval", tmp_path / "run").require_refusal("no labelled texts are given to measure")


def test_a_limit_says_what_it_leaves_out(cli: CLI, tmp_path: Path) -> None:
    data = write_texts(tmp_path / "train.jsonl", 30, seed=2)
    ending = cli(
        "train", "bert", "--task", "classify", "--data", data, "--out", tmp_path / "run", "--steps", 1,
        "--set", "d_model=8", "--set", "n_layers=1", "--set", "task.limit=10",
    )  # fmt: skip
    assert ending.code == 0, ending.err
    assert "limit=10 leaves out" in ending.err


def test_a_rare_label_may_be_held_out_whole(cli: CLI, tmp_path: Path) -> None:
    rows = write_texts(tmp_path / "texts.jsonl", 20, seed=0).read_text().splitlines()
    held_out = np.random.default_rng(0).random(20).argmin()
    rows[held_out] = json.dumps({"text": "It is none of these.", "label": "rare"})
    (tmp_path / "texts.jsonl").write_text("\n".join(rows))
    words = ["train", "han", "--task", "classify", "--data", tmp_path / "texts.jsonl", "--out", tmp_path / "run"]
    assert cli(*words, "--steps", 1, "--set", "d_model=8").code == 0
    model = everlong.load(tmp_path / "run").model
    assert isinstance(model, Classifier)
    assert model.labels == ("bad", "good", "rare")
