"""Stories with questions: which files are read, what they say, and what is refused."""

import gzip
from pathlib import Path

import pytest
from tests.stories import ONE, TWO, archive, folder

from everlong.data import ExampleStore
from everlong.data.babi import build_babi, build_measured, collate_stories
from everlong.data.babi_files import BabiOptions, find_files, measured_files, training_files
from everlong.data.babi_stories import read_stories
from everlong.data.words import WordTokenizer
from everlong.errors import DataError
from everlong.shapes import IGNORE

ALL = BabiOptions()


def build(tmp_path: Path, *data: Path, valid: tuple[Path, ...] = (), options: BabiOptions = ALL) -> WordTokenizer:
    return build_babi(data, valid, options, train=tmp_path / "t", held_out=tmp_path / "h")


def read(tokenizer: WordTokenizer, store: Path) -> list[tuple[str, list[str], int]]:
    """Each example as text, the words that are asked for, and its task."""
    return [
        (
            tokenizer.decode(example["tokens"]).strip(),
            [tokenizer.words[target] for target in example["targets"] if target != IGNORE],
            int(example["task"][0]),
        )
        for example in ExampleStore.open(store)
    ]


def test_a_story_with_all_its_questions_is_an_example(tmp_path: Path) -> None:
    home = archive(tmp_path / "babi.tar.xz", {"d/en-10k/qa1_where_train.txt": ONE, "d/en-10k/qa8_lists_train.txt": TWO})
    tokenizer = build(tmp_path, home)
    assert read(tokenizer, tmp_path / "t") == [
        ("mary went home . where is mary ? - john went north . where is john ? -", ["home", "north"], 1),
        ("mary took milk . what has she ? - -", ["milk", "nothing"], 8),
        ("john took nothing . what has he ? -", ["nothing"], 8),
    ]
    example = ExampleStore.open(tmp_path / "t")[0]
    blanks = example["tokens"] == tokenizer.id_of("-")
    assert blanks.tolist() == (example["targets"] != IGNORE).tolist()
    about = {"tasks": {"1": "where", "8": "lists"}, "n_questions": 4, "n_answer_words": 5, "n_unknown": 0}
    assert ExampleStore.open(tmp_path / "t").about == about
    assert not (tmp_path / "h").exists(), "there was nothing to measure"


def test_stories_side_by_side(tmp_path: Path) -> None:
    tokenizer = build(tmp_path, folder(tmp_path / "f", {"qa8_lists_train.txt": TWO, "qa1_where_train.txt": ONE}))
    store = ExampleStore.open(tmp_path / "t")
    chunk = collate_stories([store[1], store[0]])
    assert chunk.lengths.tolist() == [10, 18]
    assert tokenizer.decode(chunk.tokens[1].numpy()).startswith("mary went home")
    assert chunk.targets[0, 10:].unique().tolist() == [IGNORE]
    assert (chunk.n_targets, chunk.n_tokens, chunk.starts.sum(1).tolist()) == (4, 28, [1, 1])


def test_the_test_files_are_measured_unless_others_are_named(tmp_path: Path) -> None:
    here = folder(tmp_path / "f", {"qa1_a_train.txt": ONE, "qa1_a_test.txt": "1 John went home.\n2 Mary?\thome\n"})
    there = folder(tmp_path / "g", {"qa1_a_valid.txt": "1 Mary went north.\n2 John?\tnorth\n", "qa2_b_test.txt": TWO})
    tokenizer = build(tmp_path / "one", here)
    assert read(tokenizer, tmp_path / "one" / "h") == [("john went home . mary ? -", ["home"], 1)]
    tokenizer = build(tmp_path / "two", here, valid=(there,))
    found = read(tokenizer, tmp_path / "two" / "h")
    assert found == [("mary went north . john ? -", ["north"], 1)], "of the tasks that are learned, and no others"


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_archives_folders_and_files_say_the_same(tmp_path: Path, mode: str) -> None:
    files = {"en-10k/qa1_a_train.txt": ONE, "en-10k/qa1_a_test.txt": ONE, "README.txt": "about", "en-10k/x.txt": "y"}
    packed = archive(tmp_path / f"babi.tar{mode[1:].replace(':', '.')}", files, mode=mode)
    place = folder(tmp_path / "f", files)
    (tmp_path / "qa1_a_train.txt.gz").write_bytes(gzip.compress(ONE.encode()))
    given = {"p": [packed], "f": [place], "s": [tmp_path / "qa1_a_train.txt.gz", place / "en-10k" / "qa1_a_test.txt"]}
    found: list[object] = []
    for name, data in given.items():
        tokenizer = build(tmp_path / name, *data)
        found.append([read(tokenizer, tmp_path / name / part) for part in ("t", "h")])
    assert found[0] == found[1] == found[2]


def test_what_is_missing_of_an_english_folder_comes_from_the_others(tmp_path: Path) -> None:
    names = ["en-10k/qa1_a_train.txt", "en-10k/qa1_a_test.txt", "en-10k/qa3_c_test.txt", "en/qa1_a_train.txt"]
    names += ["en/qa3_c_train.txt", "en/qa3_c_test.txt", "en-valid-10k/qa3_valid.txt", "hn/qa3_c_train.txt"]
    files = find_files([archive(tmp_path / "babi.tar", dict.fromkeys(names, ONE), mode="w")])
    taught = [file.member for file in training_files(files, ALL)]
    assert taught == ["en-10k/qa1_a_train.txt", "en-valid-10k/qa3_valid.txt", "en/qa3_c_train.txt"]
    tested = [file.member for file in measured_files(files, BabiOptions(tasks=(1, 3)))]
    assert tested == ["en-10k/qa1_a_test.txt", "en-10k/qa3_c_test.txt"]
    english = training_files(files, BabiOptions(folder="en", tasks=(3,)))
    assert [file.member for file in english] == ["en/qa3_c_train.txt"]


def test_tasks_are_read_by_their_numbers(tmp_path: Path) -> None:
    home = folder(tmp_path / "f", {f"qa{n}_x_train.txt": ONE for n in (10, 2, 1)})
    assert [file.task for file in find_files([home])] == [1, 2, 10]
    build(tmp_path, home, options=BabiOptions(tasks=(10, 1)))
    assert list(ExampleStore.open(tmp_path / "t").about["tasks"]) == ["1", "10"]


def test_words_that_are_not_known_are_read_as_one_and_counted(tmp_path: Path) -> None:
    tokenizer = build(tmp_path, folder(tmp_path / "f", {"qa1_a_train.txt": ONE}))
    other = folder(tmp_path / "g", {"qa1_a_test.txt": "1 Zoe went home.\n2 Where is Zoe?\thome\n"})
    store = build_measured([other], BabiOptions(tasks=(1,)), tokenizer, tmp_path / "m")
    assert read(tokenizer, store.folder) == [("<unknown> went home . where is <unknown> ? -", ["home"], 1)]
    assert store.about["n_unknown"] == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Mary went home.\n", r"qa1_a_train\.txt:1 is no line of a story: 'Mary went home\.'\. A line is a number"),
        ("1 Mary.\n3 John.\n", r"txt:2 is no line of a story"),
        ("1 Mary.\n\n2\n", r"txt:3 is no line of a story: '2'"),
        ("2 Mary.\n", r"txt:1 is no line of a story"),
        ("² Mary.\n", r"txt:1 is no line of a story"),
        ("1 Mary.\n2 Where?\t\t1\n", r"txt:2 asks a question without an answer: .* Write the answer after a tab"),
        ("1 Mary went home.\n", r"qa1_a_train\.txt asks no question\. Give a file with questions"),
        ("", r"qa1_a_train\.txt asks no question"),
    ],
)
def test_lines_that_are_no_story_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        build(tmp_path, folder(tmp_path / "f", {"qa1_a_train.txt": text}))
    assert not (tmp_path / "t").exists()


def test_stories_without_a_question_are_left_out() -> None:
    found = list(read_stories("1 A b.\n1 C d.\n2 E?\tf\n1 G h.\n", "x"))
    assert [(story.place, story.words) for story in found] == [("x:2", ["c", "d", ".", "e", "?", "-"])]


def test_text_that_is_no_utf8_is_named(tmp_path: Path) -> None:
    home = archive(tmp_path / "a.tar", {"qa1_a_train.txt": b"1 ok.\n2 \xff?\ta\n"}, mode="w")
    with pytest.raises(DataError, match=r"a\.tar:qa1_a_train\.txt is not valid UTF-8 at byte 8, line 2"):
        build(tmp_path, home)


def test_an_answer_that_nothing_taught_is_refused(tmp_path: Path) -> None:
    files = {"qa1_a_train.txt": ONE, "qa1_a_test.txt": "1 Mary.\n2 Who?\tmary\n1 Mary.\n2 Where?\tsouth\n"}
    message = r"the story at .*qa1_a_test\.txt:3 asks for 'south', a word that no story of the training data has"
    with pytest.raises(DataError, match=message):
        build(tmp_path, folder(tmp_path / "f", files))


def test_what_holds_no_stories_is_refused(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("Once upon a time")
    (tmp_path / "empty").mkdir()
    whole = archive(tmp_path / "whole.tar.xz", {"qa1_a_train.txt": ONE * 100})
    (tmp_path / "cut.tar.xz").write_bytes(whole.read_bytes()[:80])
    archive(tmp_path / "none.tar", {}, mode="w")
    for name, message in {
        "no.tar": r"there is no file or folder .*no\.tar\. Give a tar archive or a folder of bAbI files",
        "empty": r"there are no bAbI files in .*empty\. Give a tar archive",
        "none.tar": r"there are no bAbI files in .*none\.tar",
        "book.txt": r"book\.txt is no tar archive, or a damaged one \(.*\)\. Give a tar archive or a folder",
        "cut.tar.xz": r"cut\.tar\.xz is no tar archive, or a damaged one",
    }.items():
        with pytest.raises(DataError, match=message):
            build(tmp_path, tmp_path / name)


def test_what_is_not_there_is_not_learned(tmp_path: Path) -> None:
    home = folder(tmp_path / "f", {"en/qa1_a_train.txt": ONE, "hn/qa1_a_train.txt": ONE, "hn/qa2_a_test.txt": ONE})
    with pytest.raises(DataError, match=r"there are bAbI files in en, hn\. Name one with --set task\.folder=en\."):
        build(tmp_path, home)
    with pytest.raises(DataError, match=r"there is no folder en-10k among the bAbI files\. There are en, hn\."):
        build(tmp_path, home, options=BabiOptions(folder="en-10k"))
    with pytest.raises(DataError, match=r"there is no training file of task 2 among the bAbI files\. Give qa"):
        build(tmp_path, home, options=BabiOptions(folder="hn", tasks=(1, 2)))
    with pytest.raises(DataError, match="there is no training file of any task"):
        build(tmp_path, folder(tmp_path / "g", {"qa1_a_test.txt": ONE}))
    tokenizer = WordTokenizer.of(["a"])
    with pytest.raises(DataError, match=r"there is no file of the tasks that were learned, 5, 7\. Give one, such as"):
        build_measured([home], BabiOptions(folder="hn", tasks=(5, 7)), tokenizer, tmp_path / "m")
