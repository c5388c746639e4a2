"""Questions and texts as windows of tokens, and where in them answers stand."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.data.test_data_pretrained import BYTES as PAIRS
from tests.unit.data.test_data_pretrained import PIECES

from everlong.data import BPETokenizer, ByteTokenizer, Tokenizer
from everlong.data.asked import AnswerOptions, ask, build_asked, collate_asked, token_spans
from everlong.data.questions import Answer, Question
from everlong.errors import DataError

BYTES = ByteTokenizer()
LEARNED = BPETokenizer.train(["Ann is in Rome and Bob is in Oslo. 张三在北京。"] * 3, vocab_size=300)
all_kinds = pytest.mark.parametrize("tokenizer", [BYTES, LEARNED, PAIRS, PIECES], ids=lambda one: one.name)


def question(context: str, *answers: str) -> Question:
    found = tuple(Answer(one, (context.index(one), context.index(one) + len(one))) for one in answers)
    return Question("a.jsonl:1", context, "Q", found)


def test_a_row_is_a_question_and_then_the_text() -> None:
    context = "The ships"
    own = ask("at\n sea", BYTES.locate(context), BYTES, AnswerOptions())
    assert bytes(own.before) == b"\nat sea\n"
    row = own.example(own.windows[0], [(4, 8)], number=7)
    assert bytes(row["tokens"].tolist()) == b"\nat sea\nThe ships"
    others = {name: row[name].tolist() for name in ("context", "own", "answers", "number")}
    assert others == {"context": [8, 17], "own": [8, 17], "answers": [12, 16], "number": [7]}
    bert = ask("at sea", PIECES.locate(context), PIECES, AnswerOptions())
    (row,) = [bert.example(one) for one in bert.windows]
    assert PIECES.decode(row["tokens"]) == " [CLS] at sea [SEP] the ships [SEP]"
    assert (row["context"].tolist(), row["answers"].tolist()) == ([4, 7], [0, 0])
    roberta = ask("sea", PAIRS.locate("sea"), PAIRS, AnswerOptions())
    (row,) = [roberta.example(one) for one in roberta.windows]
    assert PAIRS.decode(row["tokens"]) == "<s>sea</s></s>sea</s>"


@all_kinds
@pytest.mark.parametrize(
    "text", ["The ships Sailed at sea", "Ann is in Rome and Bob is in Oslo.", "张三在北京，at sea 海。"]
)
def test_tokens_of_an_answer_have_all_of_its_characters_and_no_other_token(tokenizer: Tokenizer, text: str) -> None:
    located = tokenizer.locate(text)
    for begin in range(len(text)):
        for end in range(begin + 1, len(text) + 1):
            if text[begin:end].strip() != text[begin:end]:
                continue
            one = Question("", text, "", (Answer(text[begin:end], (begin, end)),))
            places = enumerate(zip(located.begins, located.ends, strict=True))
            touched = [n for n, (a, b) in places if a < end and b > begin]
            assert token_spans(one, located) == [(touched[0], touched[-1])]


@given(length=st.integers(1, 60), width=st.integers(12, 30), overlap=st.integers(0, 5))
def test_every_token_is_one_windows_own_and_no_row_is_wider(length: int, width: int, overlap: int) -> None:
    text = "".join(chr(97 + n % 26) for n in range(length))
    asked = ask("Why?", BYTES.locate(text), BYTES, AnswerOptions(width=width, overlap=overlap))
    owned: list[int] = []
    for window in asked.windows:
        row = asked.example(window)
        assert len(row["tokens"]) <= width
        first, last = row["own"]
        assert row["context"][0] <= first < last <= row["context"][1] == len(row["tokens"])
        owned += row["tokens"][first:last].tolist()
    assert bytes(owned).decode() == text


def test_windows_hold_an_answer_whole_or_have_none(tmp_path: Path) -> None:
    context = "x" * 20 + "Rome" + "y" * 20
    asked = [question(context, "Rome", "R"), question(context), question("Oslo Rome", "Rome")]
    store = build_asked(asked, BYTES, AnswerOptions(width=19, overlap=8), tmp_path / "store")
    assert (store.about["n_questions"], store.about["unanswerable"], store.about["left_out"]) == (3, 1, 0)
    assert store.about["longest_answer"] == 4
    rows = [store[n] for n in range(len(store))]
    assert sorted({int(row["number"][0]) for row in rows}) == [0, 1, 2]
    for row in rows:
        text = bytes(row["tokens"].tolist())
        for first, last in row["answers"].reshape(-1, 2).tolist():
            assert (first, last) == (0, 0) or text[first : last + 1] in (b"Rome", b"R")
        if row["number"][0] == 0:
            assert (row["answers"][0] == 0) == (b"R" not in text)
    batch = collate_asked(rows[:2])
    assert (batch.n_targets, batch.n_tokens) == (2, 38)
    assert np.array_equal(batch.answers[0].numpy(), rows[0]["answers"][:2])


def test_an_answer_that_no_window_holds_is_left_out(tmp_path: Path) -> None:
    asked = [question("x" * 20 + "y" * 30, "y" * 30), question("Oslo", "Oslo")]
    store = build_asked(asked, BYTES, AnswerOptions(width=20, overlap=8), tmp_path / "store")
    assert (len(store), store.about["n_questions"], store.about["left_out"]) == (1, 1, 1)


def test_a_question_that_leaves_no_room() -> None:
    with pytest.raises(DataError, match=r"a question of 30 tokens leaves 0 of width=20 to its text, and"):
        ask("a" * 30, BYTES.locate("b"), BYTES, AnswerOptions(width=20))
    with pytest.raises(DataError, match=r"leaves 17 of width=20 to its text, and windows overlap by 17\. Give a"):
        ask("a", BYTES.locate("b" * 18), BYTES, AnswerOptions(width=20, overlap=17))
