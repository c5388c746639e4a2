"""A task drawn from pictures on the command line: read once, kept, measured on what was held out, and refusals."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from everlong.data.synthetic import PICTURES
from everlong.storage import read_tensors
from tests.cli.support import CLI
from tests.drawings import write_zip

SIZES = ["d_model=8", "memory_slots=5", "slot_size=3", "classes=2", "instances=3", "save_every=6", "eval_sequences=4"]


def words(out: Path, *more: object) -> list[object]:
    """The command that trains a tiny machine on pictures in twelve steps."""
    sizes = [word for size in SIZES for word in ("--set", size)]
    return ["train", "mann", "--task", "omniglot", "--out", out, "--steps", 12, "--lanes", 2, *sizes, *more]


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three zip files of drawings."""
    folder = tmp_path_factory.mktemp("drawings")
    for seed, name in enumerate(("small1", "small2", "small3")):
        write_zip(folder / f"{name}.zip", 3 + seed, 4, seed=seed)
    return folder


@pytest.fixture(scope="module")
def trained_once(drawings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from everlong.cli import main

    out = tmp_path_factory.mktemp("runs") / "omniglot"
    given = words(out, "--data", drawings / "small1.zip", "--valid", drawings / "small2.zip")
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in given])
    assert end.value.code in (0, None)
    return out


@pytest.fixture
def trained(trained_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained_once, tmp_path / "run"))


def test_pictures_are_read_once_and_kept(cli: CLI, drawings: Path, tmp_path: Path) -> None:
    given = ["--data", drawings / "small1.zip", drawings / "small3.zip", "--valid", drawings / "small2.zip"]
    ended = cli(*words(tmp_path / "run", *given, "--json"))
    assert (ended.code, ended.answer["step"]) == (0, 12)
    for said in ("classes 2, instances 3", "8 characters, 4 held out", "bits/sequence", "wrong answers", "try: everl"):
        assert said in ended.err
    kept, names = read_tensors(tmp_path / "run" / PICTURES)
    assert kept["trained.drawings"].shape == (8 * 4, 20, 20)
    assert kept["held_out.counts"].tolist() == [4] * 4
    assert json.loads(names["held_out"])[0] == "small2/Blocks/character01"
    config = json.loads((tmp_path / "run" / "config.json").read_text())["model"]
    assert (config["input_size"], config["output_size"]) == (402, 2)


def test_the_last_fifth_is_held_out_unless_something_is_given(cli: CLI, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "many.zip", 10, 3)
    assert cli(*words(tmp_path / "run", "--data", path)).code == 0
    _, names = read_tensors(tmp_path / "run" / PICTURES)
    held_out = ["many/Blocks/character09", "many/Blocks/character10"]
    assert (len(json.loads(names["trained"])), json.loads(names["held_out"])) == (8, held_out)


def test_stopped_and_resumed_equals_never_stopped(
    cli: CLI, drawings: Path, trained_once: Path, trained: Path, tmp_path: Path
) -> None:
    for folder in sorted((trained / "checkpoints").iterdir())[1:]:
        folder.rename(tmp_path / folder.name)
    same = ["--data", drawings / "small1.zip", "--valid", drawings / "small2.zip"]
    other = "was trained on other pictures, or held out others. Leave out --data and --valid"
    cli("train", "--resume", "--out", trained, "--data", drawings / "small3.zip").require_refusal(other)
    cli("train", "--resume", "--out", trained, *same[:2]).require_refusal(other)
    assert cli("train", "--resume", "--out", trained, "--steps", 9, *same).code == 0
    assert cli("train", "--resume", "--out", trained, "--steps", 12).code == 0
    mine, theirs = (
        read_tensors(run / "checkpoints/step-00000012/model.safetensors")[0] for run in (trained_once, trained)
    )
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    again = cli("train", "--resume", "--out", trained, "--set", "instances=2")
    again.require_refusal("data setting instances=3, now it is 2")


def test_eval_gives_accuracy_by_instance_and_needs_no_pictures(cli: CLI, drawings: Path, trained: Path) -> None:
    asked = ["eval", trained, "--sequences", 6]
    found = cli(*asked, "--json").answer
    assert (found["task"], found["rules"]["classes"]) == ("omniglot", 2)
    assert [trial["sizes"] for trial in found["trials"]] == [None, {"instances": 4}]
    for trial, n in zip(found["trials"], (3, 4), strict=True):
        assert [row["instance"] for row in trial["by_instance"]] == list(range(1, n + 1))
        assert all(row["n_answers"] == 2 * 6 for row in trial["by_instance"])
        right = sum(row["accuracy"] for row in trial["by_instance"]) / n
        assert right == pytest.approx(1 - trial["wrong_answers"])
    table = cli(*asked).out
    assert "wrong answers" in table
    assert "Accuracy by instance" in table
    for row in found["trials"][1]["by_instance"]:
        assert f"{row['accuracy']:.1%}" in table
    others = cli(*asked, "--json", "--data", drawings / "small3.zip").answer
    same = cli(*asked, "--json", "--data", drawings / "small2.zip").answer
    assert same["trials"] == found["trials"] != others["trials"]


def test_what_does_not_fit_is_refused(cli: CLI, drawings: Path, tmp_path: Path) -> None:
    out, good = tmp_path / "run", drawings / "small1.zip"
    text = tmp_path / "book.zip"
    text.write_text("It was a dark and stormy night.")
    (tmp_path / "empty").mkdir()
    one = write_zip(tmp_path / "one.zip", 1, 5)
    few = write_zip(tmp_path / "few.zip", 3, 2)
    cli(*words(out)).require_refusal("no pictures are given. Write --data and the names of files or folders")
    cli(*words(out, "--data", text)).require_refusal("book.zip is not a zip file, or is damaged")
    cli(*words(out, "--data", tmp_path / "none.zip")).require_refusal("cannot read", "none.zip", "No such file")
    cli(*words(out, "--data", tmp_path / "empty")).require_refusal("empty holds no PNG files")
    cli(*words(out, "--data", one, "--valid", good)).require_refusal("1 training characters are too few")
    cli(*words(out, "--data", good)).require_refusal("0 held-out characters are too few")
    cli(*words(out, "--data", few, "--valid", good)).require_refusal("there are 2 drawings of few/Blocks/character01")
    cli(*words(out, "--data", good, "--chunk", 9)).require_refusal(
        "task=omniglot has no use for --chunk: it is drawn from pictures"
    )
    cli(*words(out, "--data", good, "--set", "input_size=9")).require_refusal("input_size is that of the task")
    cli(*words(out, "--data", good, "--set", "max_turn=90")).require_refusal("max_turn = 90 does not fit")
    assert not out.exists()


def test_a_damaged_run_is_refused(cli: CLI, drawings: Path, trained: Path) -> None:
    one = write_zip(trained.parent / "one.zip", 1, 5)
    cli("eval", trained, "--data", one).require_refusal("1 held-out characters are too few")
    cli("eval", trained, "--set", "task.instances=9").require_refusal("instances=9 of each class are shown")
    path = trained / PICTURES
    whole = path.read_bytes()
    path.write_bytes(whole[:-9] + b"\0" + whole[-8:-1] + bytes([whole[-1] ^ 1]))
    cli("eval", trained).require_refusal("its contents do not match their checksum")
    cli("train", "--resume", "--out", trained).require_refusal("its contents do not match their checksum")
    path.unlink()
    cli("eval", trained, "--data", drawings / "small1.zip").require_refusal("cannot read", PICTURES)
