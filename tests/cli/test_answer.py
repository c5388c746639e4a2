"""Questions to a run, its figures, and answers in new texts; and what is refused on the way."""

import json
import random
from pathlib import Path

import pytest

import everlong
from everlong.cli import main
from tests.cli.support import CLI
from tests.pretrained_folders import write_folder

NAMES = {"en": ("The name is [", "], they say.", "Which name?"), "zh": ("他叫【", "】，大家都知道。", "叫什么？")}


def write_questions(path: Path, count: int, *, seed: int) -> Path:
    """A name in brackets, in English and in Chinese by turns."""
    rng, rows = random.Random(seed), list[str]()
    for number in range(count):
        before, after, asked = NAMES["zh" if number % 2 else "en"]
        name = "".join(rng.choices("天地山水" if number % 2 else "ABCD", k=2))
        context = "".join(rng.choices(". ", k=rng.randrange(6))) + before + name + after
        rows.append(json.dumps({"context": context, "question": asked, "answers": [name]}))
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("answer")
    data, out = write_questions(folder / "train.jsonl", 120, seed=0), folder / "run"
    words = ["train", "longformer-encoder", "--task", "answer", "--data", data, "--out", out, "--steps", 150]
    sets = ["d_model=16", "n_layers=2", "n_heads=2", "d_ff=32", "model.window=8", "lanes=8"]
    sets += ["lr=0.01", "warmup=5", "clip=1", "eval_every=50", "task.width=80", "task.overlap=24"]
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in [*words, *(part for one in sets for part in ("--set", one))]])
    assert end.value.code in (0, None)
    return out


def test_it_learned_and_its_answers_are_measured(run: Path, cli: CLI, tmp_path: Path) -> None:
    data = write_questions(tmp_path / "test.jsonl", 20, seed=1)
    ending = cli("eval", run, "--data", data, "--json")
    found = json.loads(ending.out)
    assert (found["n_questions"], found["n_answerable"], found["unanswerable_right"]) == (20, 20, None)
    assert found["exact"] > 0.8
    ending = cli("eval", run, "--data", data, "--set", "task.longest_answer=1")
    assert ending.out.startswith("exact match 0.00, F1 ")
    again = cli("eval", run, "--data", data, "--set", "task.longest_answer=0", "--json")
    assert json.loads(again.out) == found
    assert "over 20 questions." in ending.out


def test_without_data_the_held_out_questions_are_answered(run: Path, cli: CLI) -> None:
    ending = cli("eval", run)
    assert ending.code == 0, ending.err
    assert "held-out questions answered in the very tokens" in ending.out
    found = cli("eval", run, "--json").answer
    assert found["exact_tokens"] >= 0.5


def test_squad_files_are_measured_too(run: Path, cli: CLI, tmp_path: Path) -> None:
    qas = [
        {"question": "Which name?", "answers": [{"text": "AB", "answer_start": 13}]},
        {"question": "Which name?", "answers": [], "is_impossible": True},
    ]
    squad = {"data": [{"paragraphs": [{"context": "The name is [AB], they say.", "qas": qas}]}]}
    (tmp_path / "dev.json").write_text(json.dumps(squad))
    ending = cli("eval", run, "--data", tmp_path / "dev.json")
    assert ending.code == 0, ending.err
    assert "F1 100.00 of the 1 that have an answer; 0.0% of the others are left without one." in ending.out


def test_answers_and_where_they_stand(run: Path, cli: CLI, tmp_path: Path) -> None:
    text = "A line before.\n" + "他叫【山水】，大家都知道。" + "\nThe rest. " * 9
    file = tmp_path / "a.txt"
    file.write_text(text, encoding="utf-8")
    ending = cli("answer", run, file, "--question", "叫什么？")
    assert ending.out.startswith(f"{file}\t山水\t")
    assert "line 2, characters 18 to 20: A line before. 他叫【[山水]】，大家" in ending.out
    ending = cli("answer", run, file, "--question", "叫什么？", "--json")
    (told,) = json.loads(ending.out)["texts"]
    assert (told["text"], told["begin"], told["end"], told["line"]) == ("山水", 18, 20, 2)
    again = everlong.load(run).answer(text, "叫什么？")
    assert again.probability == pytest.approx(told["probability"])
    assert text[18:20] == again.text


def test_a_run_goes_on(run: Path, cli: CLI) -> None:
    ending = cli("train", "--resume", "--out", run, "--steps", 152)
    assert ending.code == 0, ending.err
    assert "done: 152 steps" in ending.err


def test_what_is_refused(run: Path, cli: CLI, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text", encoding="utf-8")
    (tmp_path / "blank.txt").write_text(" \n", encoding="utf-8")
    ask = ("--question", "Which name?")
    cli("answer", run, tmp_path / "a.txt", "--question", " ").require_refusal("the question is empty. Ask something.")
    cli("answer", run, tmp_path / "blank.txt", *ask).require_refusal("blank.txt has nothing but white space in it")
    cli("answer", run, tmp_path / "missing.txt", *ask).require_refusal("there is no file or folder")
    cli("answer", trained, tmp_path / "a.txt", *ask).require_refusal("did not learn to answer questions. Train an")
    (tmp_path / "long.txt").write_text("word " * 40, encoding="utf-8")
    cli("answer", run, tmp_path / "long.txt", "--question", "why " * 30).require_refusal(
        "a question of 119 tokens leaves 0 of width=80 to its text", "Give a larger task.width"
    )
    cli("eval", run, "--set", "task.width=90").require_refusal("held out are kept as they were read in training. Leave")
    words = ("train", "bert", "--task", "answer", "--out", tmp_path / "new", "--data")
    cli(*words, tmp_path / "a.txt").require_refusal("a.txt is not JSON")
    other = tmp_path / "other.jsonl"
    other.write_text('{"context": "a b", "question": "c?", "answers": ["d"]}', encoding="utf-8")
    cli(*words, other).require_refusal("other.jsonl:1 has the answer 'd', which does not stand in its context")
    cli("train", "han", *words[2:], other).require_refusal("han cannot learn task=answer, which is for bert,")
    assert not (tmp_path / "new").exists()


def test_questions_that_no_window_can_teach_are_told(cli: CLI, tmp_path: Path) -> None:
    rows = [{"context": "x" * 9 + "y" * 40, "question": "Q", "answers": ["y" * 40]}]
    rows += [{"context": "xyz", "question": "Q", "answers": ["y"]}]
    data = tmp_path / "train.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)))
    sets = ("d_model=8", "n_layers=1", "n_heads=2", "d_ff=8", "task.width=20", "task.overlap=4")
    words = ["train", "bert", "--task", "answer", "--data", data, "--out", tmp_path / "run", "--steps", 1]
    ending = cli(*words, *(part for one in sets for part in ("--set", one)))
    assert ending.code == 0, ending.err
    assert "1 questions are left out, for no window of width=20 holds their answer whole" in ending.err
    cli("eval", tmp_path / "run").require_refusal("holds no questions to measure. Write --data and the names of")


def test_a_converted_encoder_learns_to_answer(cli: CLI, tmp_path: Path) -> None:
    everlong.convert(write_folder(tmp_path / "theirs", "bert"), to="longformer-encoder").save(tmp_path / "converted")
    rows = [
        {"context": f"the ships sailed {'at sea ' * n}", "question": "ship?", "answers": ["ships"]} for n in range(9)
    ]
    data = tmp_path / "train.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)))
    words = ["train", "--from", tmp_path / "converted", "--task", "answer", "--data", data, "--out", tmp_path / "run"]
    ending = cli(*words, "--steps", 2, "--lanes", 2, "--set", "warmup=1")
    assert ending.code == 0, ending.err
    assert "the head for spans is new" in ending.err
    told = everlong.load(tmp_path / "run").answer("The SHIPS,  sailed", "Ship?")
    assert told.begin is not None
    assert "The SHIPS,  sailed"[told.begin : told.end] == told.text
    ending = cli("train", "--from", tmp_path / "run", *words[3:-1], tmp_path / "next", "--steps", 1, "--lanes", 2)
    assert ending.code == 0, ending.err
    assert "is new" not in ending.err
