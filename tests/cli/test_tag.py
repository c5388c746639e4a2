"""Tagged words to a run, its figures, and entities of new texts, English and Chinese; and what is refused."""

import json
import random
from pathlib import Path

import pytest

import everlong
from everlong.cli import main
from everlong.data.tagged import TagOptions, read_tagged
from everlong.models.tagger import Tagger
from tests.cli.support import CLI

NAMES = {"PER": ["Ann", "Bob Lee", "Eve"], "LOC": ["Rome", "New York", "Oslo"]}
CHINESE = {"PER": ["李明", "王芳"], "LOC": ["北京", "上海"]}


def english(count: int, *, seed: int) -> str:
    """Sentences in columns, two a document: who went where."""
    rng, lines = random.Random(seed), list[str]()
    for number in range(count):
        lines += [] if number % 2 else ["-DOCSTART- -X- O", ""]
        for kind, word in (("PER", "went"), ("LOC", ".")):
            first, *rest = rng.choice(NAMES[kind]).split()
            lines += [f"{first} NN B-{kind}", *(f"{one} NN I-{kind}" for one in rest), f"{word} X O"]
            lines += ["to TO O"] if word == "went" else [""]
    return "\n".join(lines)


def chinese(count: int, *, seed: int) -> str:
    """JSON lines, character by character: who came to where."""
    rng, rows = random.Random(seed), list[str]()
    for _ in range(count):
        who, where = rng.choice(CHINESE["PER"]), rng.choice(CHINESE["LOC"])
        tags = ["B-PER", "E-PER", "O", "B-LOC", "E-LOC", "O"]
        rows.append(json.dumps({"tokens": list(f"{who}到{where}。"), "tags": tags}, ensure_ascii=False))
    return "\n".join(rows)


def teach(data: Path, out: Path, *more: object) -> Path:
    words = ["train", "bilstm", "--task", "tag", "--data", data, "--out", out, "--steps", 80, "--lanes", 16, *more]
    sets = ["d_model=32", "n_layers=1", "lr=0.02", "warmup=5", "clip=1", "eval_every=40"]
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in [*words, *(part for one in sets for part in ("--set", one))]])
    assert end.value.code in (0, None)
    return out


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tag")
    (folder / "train.conll").write_text(english(120, seed=0), encoding="utf-8")
    return teach(folder / "train.conll", folder / "run")


def test_it_learned_and_its_entities_are_counted(run: Path, cli: CLI, tmp_path: Path) -> None:
    (tmp_path / "test.conll").write_text(english(40, seed=1), encoding="utf-8")
    ending = cli("eval", run, "--data", tmp_path / "test.conll", "--json")
    found = json.loads(ending.out)
    assert (found["n_texts"], found["have"], set(found["by_type"])) == (40, 80, {"LOC", "PER"})
    assert found["f1"] > 0.95
    assert found["by_type"]["PER"]["have"] == 40
    ending = cli(
        "eval", run, "--data", tmp_path / "test.conll", "--set", "task.unit=document", "--set", "task.width=40"
    )
    assert "over 20 texts with" in " ".join(ending.out.split())
    assert "entity F1 " in ending.out


def test_new_texts_get_entities_with_their_places(run: Path, cli: CLI, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Ann went to\nNew  York. Bob Lee went to Rome.\n", encoding="utf-8")
    ending = cli("tag", run, tmp_path / "a.txt")
    assert [line.split("\t")[1:] for line in ending.out.splitlines()] == [
        ["0", "3", "PER", "Ann"],
        ["12", "21", "LOC", "New York"],
        ["23", "30", "PER", "Bob Lee"],
        ["39", "43", "LOC", "Rome"],
    ]
    assert ending.out.startswith(f"{tmp_path / 'a.txt'}\t")
    (told,) = json.loads(cli("tag", run, tmp_path / "a.txt", "--json").out)["texts"]
    assert told["entities"][1] == {"type": "LOC", "text": "New  York", "begin": 12, "end": 21}
    (again,) = everlong.load(run).tag(["Ann went to\nNew  York. Bob Lee went to Rome.\n"])
    assert again.to_dict()["entities"] == tuple(told["entities"])


def test_chinese_is_read_character_by_character(cli: CLI, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(chinese(80, seed=0), encoding="utf-8")
    out = teach(tmp_path / "train.jsonl", tmp_path / "run", "--tokenizer", "bpe:300")
    (tmp_path / "a.txt").write_text("王芳到上海。李明到北京。", encoding="utf-8")
    ending = cli("tag", out, tmp_path / "a.txt")
    places = [line.split("\t")[1:] for line in ending.out.splitlines()]
    assert places == [
        ["0", "2", "PER", "王芳"],
        ["3", "5", "LOC", "上海"],
        ["6", "8", "PER", "李明"],
        ["9", "11", "LOC", "北京"],
    ]


def test_a_run_goes_on_and_another_begins_with_it(run: Path, cli: CLI, tmp_path: Path) -> None:
    ending = cli("train", "--resume", "--out", run, "--steps", 82)
    assert ending.code == 0, ending.err
    assert "done: 82 steps" in ending.err
    (tmp_path / "more.conll").write_text(english(30, seed=3), encoding="utf-8")
    words = ("train", "bilstm", "--from", run, "--task", "tag", "--data", tmp_path / "more.conll", "--steps", 1)
    ending = cli(*words, "--out", tmp_path / "more")
    assert ending.code == 0, ending.err


def test_documents_and_windows_are_kept_with_the_run(cli: CLI, tmp_path: Path) -> None:
    data = tmp_path / "train.conll"
    data.write_text(english(40, seed=0), encoding="utf-8")
    words = ["train", "longformer-encoder", "--task", "tag", "--data", data, "--out", tmp_path / "run", "--steps", 1]
    sets = ["d_model=8", "n_heads=2", "d_ff=8", "n_layers=1", "model.window=8", "task.unit=document", "task.width=24"]
    ending = cli(*words, *(part for one in sets for part in ("--set", one)))
    assert ending.code == 0, ending.err
    trained = everlong.load(tmp_path / "run")
    assert isinstance(trained.model, Tagger)
    assert trained.model.types == ("LOC", "PER")
    assert len(list(read_tagged([data], TagOptions(unit="document")))) == 20
    (told,) = trained.tag(["Ann went to Rome. " * 20])
    assert all(one.end <= 360 for one in told.entities)


def test_what_is_refused(run: Path, cli: CLI, trained: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text('{"tokens": ["a", "b"], "tags": ["O", "B-PRE"]}', encoding="utf-8")
    cli("eval", run, "--data", other).require_refusal(
        "other.jsonl:1, word 2, has an entity of type 'PRE', which was not learned. Did you mean 'PER'? Types are LOC"
    )
    stored = cli("eval", run, "--set", "task.width=9")
    stored.require_refusal("no tagged texts are given to measure. Write --data and the names of files.")
    cli("eval", run, "--data", other, "--chunk", 9).require_refusal(
        "no use for --chunk: it is measured on files of words"
    )
    cli("eval", run, "--data", other, "--lanes", 0).require_refusal("has an entity of type 'PRE'")
    (tmp_path / "empty.txt").write_text(" \n", encoding="utf-8")
    cli("tag", run, tmp_path / "empty.txt").require_refusal("has nothing but white space in it.")
    cli("tag", run, tmp_path / "missing.txt").require_refusal("there is no file or folder")
    (tmp_path / "a.txt").write_text("text", encoding="utf-8")
    cli("tag", trained, tmp_path / "a.txt").require_refusal(
        "did not learn to tag words. Train an encoder for that: ever"
    )
    words = ("train", "bilstm", "--task", "tag", "--out", tmp_path / "new", "--data")
    cli(*words, tmp_path / "a.txt").require_refusal(
        "a.txt:1 is not a word and its tag. Each line must have a word first"
    )
    other.write_text('{"tokens": ["a", "b"], "tags": ["O", "O"]}', encoding="utf-8")
    cli(*words, other).require_refusal("every word has the tag O, so there are no entities to learn. Give texts that")
    other.write_text('{"tokens": ["a", "b"], "tags": ["O"]}', encoding="utf-8")
    cli(*words, other).require_refusal("other.jsonl:1 has 2 tokens and 1 tags, so which belong together is not known.")
    gru = ("train", "gru", "--task", "tag", "--out", tmp_path / "new", "--data", other)
    cli(*gru).require_refusal("gru cannot learn task=tag, which is for bert, bilstm, han")
    assert not (tmp_path / "new").exists()
