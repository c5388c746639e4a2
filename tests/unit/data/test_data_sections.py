"""Where sentences and paragraphs end, in English and Chinese."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everlong.data.sections import SectionUnit, sections


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("no end", ["no end"]),
        ("One. Two! Three? Four", ["One. ", "Two! ", "Three? ", "Four"]),
        ("It costs 3.50 at www.example.org now. Yes.", ["It costs 3.50 at www.example.org now. ", "Yes."]),
        ("“Stop!” he said. (Really?) Yes...  \nSo", ["“Stop!” ", "he said. ", "(Really?) ", "Yes...  \n", "So"]),
        (
            "他来了。“走吧！”她说。为什么？！不知道……好。",
            ["他来了。", "“走吧！”", "她说。", "为什么？！", "不知道……好。"],
        ),
        ("第一句。 Second one. 第三", ["第一句。 ", "Second one. ", "第三"]),
        ("A title\n\nThen text", ["A title\n\n", "Then text"]),
        ("\n\n  \n", ["\n\n  \n"]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert list(sections(text, "sentence")) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one line\nanother. And more", ["one line\nanother. And more"]),
        ("one\n\ntwo\n \t\n\nthree\n", ["one\n\n", "two\n \t\n\n", "three\n"]),
        ("一。二。\n\n三", ["一。二。\n\n", "三"]),
        ("\n\nbegin", ["\n\nbegin"]),
    ],
)
def test_paragraphs(text: str, expected: list[str]) -> None:
    assert list(sections(text, "paragraph")) == expected


@given(text=st.text(alphabet="ab .!?。！？”\n", max_size=40), unit=st.sampled_from(["sentence", "paragraph"]))
def test_sections_joined_are_the_text(text: str, unit: SectionUnit) -> None:
    found = list(sections(text, unit))
    assert "".join(found) == text
    assert all(found)
