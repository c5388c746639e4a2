"""Where chapters begin, in English and in Chinese."""

import pytest

from everlong.data.chapters import SHORTEST, chapter_parts

PROSE = {"en": "The ship came in at dawn. " * 9, "zh": "话说天下大势，分久必合。" * 18}


@pytest.mark.parametrize(
    ("language", "headings"),
    [
        ("en", ["CHAPTER I", "CHAPTER II. The Sea", "  CHAPTER XIV--_Of Ships_"]),
        ("en", ["Chapter 1", "Chapter 2: In Which He Sails", "Chapter 10"]),
        ("en", ["Chapter One THE SEA", "CHAPTER THE LAST."]),
        ("zh", ["第一回 宴桃园豪杰三结义", "第二回\u3000张翼德怒鞭督邮", "第一百二十回\u3000荐杜预老将献新谋"]),
        ("zh", ["\u3000\u3000第1章", "第 12 章 海", "第十三章"]),
    ],
)
def test_chapters_begin_at_their_headings(language: str, headings: list[str]) -> None:
    preface = "A BOOK\n\n" if language == "en" else "书\n"
    text = preface + "".join(f"{heading}\r\n{PROSE[language]}\n" for heading in headings)
    parts = chapter_parts(text)
    assert parts.begins[0] == 0
    assert parts.counted == [(len(preface), len(text))]
    found = [text[begin:].split("\r\n")[0] for begin in parts.begins]
    assert found == [preface + headings[0], *headings[1:]]


def test_a_table_of_contents_has_no_chapters() -> None:
    chapters = "".join(f"CHAPTER {number}\n{PROSE['en']}\n" for number in ("I", "II"))
    contents = "CONTENTS\n\nCHAPTER I The Sea\nCHAPTER II The Ship\n\n"
    parts = chapter_parts(contents + chapters)
    assert parts.counted == [(len(contents), len(contents + chapters))]
    assert parts.begins == [0, (contents + chapters).index("CHAPTER II\n")]


@pytest.mark.parametrize(
    "line",
    [
        "chapter of the book which was read, I",
        "Chapter closed, he went",
        "In CHAPTER I we saw him",
        "第一次回家的时候",
        "他看完第一回 书",
        "CHAPTER",
    ],
)
def test_what_is_no_heading(line: str) -> None:
    text = f"{PROSE['en']}\n{line}\n{PROSE['zh']}\n"
    assert (chapter_parts(text).begins, chapter_parts(text).counted) == ([0], [])


def test_the_last_chapter_is_long_enough_too() -> None:
    heading = "CHAPTER I\n"
    assert chapter_parts(heading + "x" * (SHORTEST - len(heading) - 1)).counted == []
    assert chapter_parts(heading + "x" * (SHORTEST - len(heading))).counted == [(0, SHORTEST)]
