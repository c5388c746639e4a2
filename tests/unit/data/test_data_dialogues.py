"""Dialogues: what their lines must be, the text they become, and where its turns and sessions are."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from tests.dialogues import conversations, write_lines

from everlong.data.dialogues import mark, read_dialogues, session_parts, speakers, turn, turn_parts
from everlong.errors import DataError

OF_TWO_DAYS = "Anna: Where is the ship?\nBob: At sea: far out.\n\nAnna: 回来了吗？\nBob: 没有。\n"


def texts(*paths: Path) -> list[str]:
    return [document.text for document in read_dialogues(paths)]


def test_turns_of_both_kinds_and_sessions_become_lines(tmp_path: Path) -> None:
    pairs = [["Anna", "Where is\n the  ship?", {"act": "question"}], [" Bob ", "At sea: far out."]]
    objects = [{"speaker": "Anna", "text": "回来了吗？", "emotion": 0}, {"speaker": "Bob", "text": "\u3000没有。\r\n"}]
    write_lines(tmp_path / "a.jsonl", {"id": 1, "sessions": [{"turns": pairs}, {"turns": objects}]})
    line = json.dumps({"turns": pairs[1:]}) + "\n"
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(f"\n{line}".encode()))
    assert texts(tmp_path) == [OF_TWO_DAYS, "Bob: At sea: far out.\n"]
    assert [document.name for document in read_dialogues([tmp_path])][1] == f"{tmp_path / 'b.jsonl.gz'}:2"


def test_what_is_said_is_found_again() -> None:
    parts = turn_parts(OF_TWO_DAYS)
    assert [OF_TWO_DAYS[first:last] for first, last in parts.counted] == [
        " Where is the ship?\n", " At sea: far out.\n", " 回来了吗？\n", " 没有。\n"
    ]  # fmt: skip
    assert [OF_TWO_DAYS[begin:].partition(":")[0] for begin in parts.begins] == ["Anna", "Bob", "Anna", "Bob"]
    sessions = session_parts(OF_TWO_DAYS)
    assert sessions.counted == parts.counted
    assert sessions.begins == [0, parts.begins[2]]
    assert speakers(OF_TWO_DAYS) == ["Anna", "Bob"]


@pytest.mark.parametrize("end", range(len(OF_TWO_DAYS) + 1))
def test_a_dialogue_may_be_cut_short_anywhere(end: int) -> None:
    cut, whole = turn_parts(OF_TWO_DAYS[:end]), turn_parts(OF_TWO_DAYS)
    assert list(cut.begins) == [begin for begin in whole.begins if begin < end]
    assert [stretch for stretch in cut.counted if stretch[0] < stretch[1]] == [
        (first, min(last, end)) for first, last in whole.counted if first < end
    ]


def test_a_turn_is_what_a_chat_says() -> None:
    assert turn("Anna", "Where is the ship?") + mark("Bob") == OF_TWO_DAYS[:29]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_conversations_of_the_tests(language: str, tmp_path: Path) -> None:
    file = write_lines(tmp_path / "a.jsonl", *conversations(3, seed=0, language=language))
    for text in texts(file):
        assert (len(turn_parts(text).begins), len(session_parts(text).begins), len(speakers(text))) == (4, 2, 2)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"text": "A: hello"}, r'a\.jsonl:1 has no "turns" in it\. Each line must be one object such as \{"turns"'),
        ({"turns": []}, r':1 has no "turns" in it'),
        ({"turns": "A: hello"}, r':1 has no "turns" in it'),
        ({"sessions": []}, r':1 has "sessions" that are no list of sessions\. Each line'),
        ({"sessions": [{"turns": [["A", "x"]]}, []]}, r':1, session 2, has no "turns" in it'),
        ({"turns": [["A", "x"], {"text": "x"}]}, r"turn 2 of .*a\.jsonl:1 has no speaker\. Each line"),
        ({"turns": [{"speaker": " ", "text": "x"}]}, r"turn 1 of .*:1 has no speaker"),
        ({"turns": [{"speaker": 1, "text": "x"}]}, r"turn 1 of .*:1 has no speaker"),
        ({"turns": ["hello"]}, r"turn 1 of .*:1 has no speaker"),
        ({"turns": [[]]}, r"turn 1 of .*:1 has no speaker"),
        ({"turns": [["A"]]}, r"turn 1 of .*:1 has no text\. Each line"),
        ({"turns": [{"speaker": "A", "utterance": "x"}]}, r"turn 1 of .*:1 has no text"),
        ({"turns": [{"speaker": "A", "text": None}]}, r"turn 1 of .*:1 has no text"),
        ({"sessions": [{"turns": [["A", "x"], ["B", " \n"]]}]}, r"turn 2 of .*:1, session 1 has an empty text, as if"),
        ({"turns": [["A:", "x"]]}, r"the speaker 'A:'; a name ends at its colon and stands in one line\. Write"),
        ({"turns": [["A\nB", "x"]]}, r"has the speaker 'A\\nB'; a name ends at its colon"),
    ],
)  # fmt: skip
def test_what_is_no_dialogue(record: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        texts(write_lines(tmp_path / "a.jsonl", record))


def test_half_characters_and_empty_files(tmp_path: Path) -> None:
    for said in ('["A", "x\\ud800"]', '["A\\ud800", "x"]'):
        (tmp_path / "a.jsonl").write_text(f'{{"turns": [{said}]}}\n')
        with pytest.raises(DataError, match=r"turn 1 of .*a\.jsonl:1 holds half a character: character 1 of the text"):
            texts(tmp_path / "a.jsonl")
    (tmp_path / "b.jsonl").write_text("\n")
    with pytest.raises(DataError, match=r"b\.jsonl has no dialogues in it\. Give JSON lines such as"):
        texts(tmp_path / "b.jsonl")
