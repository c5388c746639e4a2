"""ROUGE as the library counts it, and the first sentences of a document."""

import sys

import pytest

from everlong.data import ByteTokenizer
from everlong.evaluate.rouge import Characters, lead, rouge

BYTES = ByteTokenizer()


def test_rouge_is_the_mean_f1_in_hundredths() -> None:
    pytest.importorskip("rouge_score")
    found = rouge(["The dogs ran.", "nothing"], ["the dog ran home", "Something else"])
    assert found is not None
    # Stemmed, three of three words and three of four; two of two pairs and two of three; and nothing at all.
    assert found.rouge1 == found.rougeL == pytest.approx(100 * (2 * 1 * 0.75 / 1.75) / 2)
    assert found.rouge2 == pytest.approx(100 * (2 * 1 * (2 / 3) / (5 / 3)) / 2)
    assert found.signature.startswith("F1 of stemmed words, rouge-score ")


def test_chinese_is_counted_by_characters() -> None:
    pytest.importorskip("rouge_score")
    found = rouge(["他在草地上走。"], ["他走在草地上"])
    assert found is not None
    assert (found.rouge1, round(found.rouge2, 6), round(found.rougeL, 6)) == (100.0, 60.0, round(500 / 6, 6))
    assert found.signature.startswith("F1 of characters, rouge-score ")
    assert Characters().tokenize("用 GPT2，好！") == ["用", "gpt2", "好"]


def test_without_the_library_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    assert rouge(["a"], ["a"]) is None


@pytest.mark.parametrize(
    ("document", "length", "expected"),
    [
        ("One. Two!\n\nThree.", 11, "One. Two!"),
        ("One. Two!\n\nThree.", 10.9, "One."),
        ("One. Two!\n\nThree.", 1, "One."),
        ("One. Two!\n\nThree.", 99, "One. Two! Three."),
        ("他走。风很大。", 9, "他走。"),
        ("an endless paragraph " * 9, 5, ("an endless paragraph " * 9).strip()),
        ("", 5, ""),
    ],
)
def test_first_sentences(document: str, length: float, expected: str) -> None:
    assert lead(document, BYTES, length=length) == expected
