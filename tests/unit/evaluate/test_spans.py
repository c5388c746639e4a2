"""The best span over all windows: against a twin that tries them all, and what no company and no padding changes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from everlong.data import ByteTokenizer, Tokenizer
from everlong.data.asked import AnswerOptions, ask, collate_asked
from everlong.data.questions import Question
from everlong.errors import ConfigError, DataError
from everlong.evaluate import spans
from everlong.evaluate.answering import answer_questions
from everlong.evaluate.spans import best_span, choose, point
from everlong.models import create_model
from everlong.models.answerer import Answerer
from everlong.train.tasks import TASKS
from tests.reference.spans import WindowLogits, probabilities
from tests.unit.data.test_data_pretrained import PIECES
from tests.unit.data.test_data_tokenizers import LEARNED

BYTES = ByteTokenizer()
ENCODERS = TASKS["answer"].learners()
QUESTIONS = [
    Question("1", "Ann is in Rome. Bob is in Oslo, far from there.", "Where is Bob?", ()),
    Question("2", "张三在北京。", "谁在北京？", ()),
    Question("3", "x", "What? And where, and when, and why?", ()),
]


def answerer(name: str = "longformer-encoder", **fields: object) -> Answerer:
    torch.manual_seed(0)
    sizes = {"n_layers": 2, "n_heads": 2, "d_ff": 8} if name not in ("bilstm", "reformer-encoder") else {}
    return Answerer(create_model(name, d_model=8, **{**sizes, **fields})).eval()


@given(data=st.data())
def test_slow_twin(data: st.DataObject) -> None:
    rng = torch.Generator().manual_seed(data.draw(st.integers(0, 9999)))
    longest = data.draw(st.integers(1, 6))
    windows: list[WindowLogits] = []
    for _ in range(data.draw(st.integers(1, 3))):
        length = data.draw(st.integers(3, 12))
        first = data.draw(st.integers(1, length - 2))
        last = data.draw(st.integers(first + 1, length - 1))
        logits = 3 * torch.randn(2, length, generator=rng, dtype=torch.float64)
        windows.append(WindowLogits(logits[0].tolist(), logits[1].tolist(), (first, last), length - 1))
    each, nothing = probabilities(windows, longest=longest)
    found = [
        best_span(
            torch.tensor([one.begin, one.end], dtype=torch.float64).T,
            window=number,
            own=one.own,
            end=one.text_ends,
            longest=longest,
        )
        for number, one in enumerate(windows)
    ]
    likeliest = max(each, key=each.__getitem__)
    told = choose(found, declines=True)
    if told.best is None:
        assert nothing >= each[likeliest]
        assert told.probability == pytest.approx(nothing)
    else:
        assert (told.best.window, told.best.begin, told.best.last) == likeliest
        assert told.probability == pytest.approx(each[likeliest])
    must = choose(found, declines=False)
    assert must.best is not None
    assert (must.best.window, must.best.begin, must.best.last) == likeliest
    assert must.probability == pytest.approx(each[likeliest] / (1 - nothing))


def test_many_beginnings_are_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(40, 2, generator=torch.Generator().manual_seed(1))
    whole = best_span(logits, window=0, own=(3, 37), end=38, longest=9)
    monkeypatch.setattr(spans, "ROWS", 4)
    parts = best_span(logits, window=0, own=(3, 37), end=38, longest=9)
    assert (parts.begin, parts.last, parts.log_odds) == (whole.begin, whole.last, whole.log_odds)
    assert parts.log_total == pytest.approx(whole.log_total)


@pytest.mark.parametrize("name", ENCODERS)
def test_logits_stand_at_the_text_and_the_first_token_and_do_not_depend_on_company(name: str) -> None:
    model = answerer(name).double()
    rows = [ask(one.question, BYTES.locate(one.context), BYTES, AnswerOptions()) for one in QUESTIONS]
    examples = [row.example(row.windows[0]) for row in rows]
    together = point(model, collate_asked(examples))
    for lane, (row, example) in enumerate(zip(rows, examples, strict=True)):
        alone = point(model, collate_asked([example]))[0]
        length, begins = len(example["tokens"]), len(row.before)
        finite = alone.isfinite().all(dim=-1).tolist()
        assert finite == [at == 0 or at >= begins for at in range(length)]
        assert torch.allclose(together[lane, :length], alone, atol=1e-12)
        assert not together[lane, length:].isfinite().any()


def test_questions_are_global_in_batches_of_different_lengths() -> None:
    """A token far beyond every window notices the question, and each row's own mask reaches the encoder."""
    model, seen = answerer(window=2, n_layers=1).double(), []
    encode = model.encoder.encode

    def spy(tokens: torch.Tensor, clock: object, global_mask: torch.Tensor | None) -> torch.Tensor:
        seen.append(global_mask)
        return encode(tokens, clock, global_mask)  # pyright: ignore[reportArgumentType]

    model.encoder.encode = spy  # pyright: ignore[reportAttributeAccessIssue]
    rows = [
        ask(question, BYTES.locate("y" * length), BYTES, AnswerOptions())
        for question, length in [("Ab", 40), ("Q?", 9), ("longer", 20)]
    ]
    examples = [row.example(row.windows[0]) for row in rows]
    point(model, collate_asked(examples))
    (mask,) = seen
    assert mask.sum(dim=1).tolist() == [len(row.before) for row in rows] == [4, 4, 8]
    other = dict(examples[0], tokens=examples[0]["tokens"].copy())
    other["tokens"][1] = ord("B")
    moved = point(model, collate_asked([other]))[0, -1] - point(model, collate_asked([examples[0]]))[0, -1]
    assert moved.abs().max() > 1e-9


@pytest.mark.parametrize("tokenizer", [BYTES, LEARNED], ids=lambda one: one.name)
@pytest.mark.parametrize("width", [0, 24, 40])
def test_answers_are_parts_of_their_texts_in_every_company(width: int, tokenizer: Tokenizer) -> None:
    options = AnswerOptions(width=width, overlap=4, longest_answer=9)
    questions = [*QUESTIONS[:2], Question("4", " ".join(f"word{n}" for n in range(60)), "Q?", ())]
    model = answerer(vocab_size=tokenizer.vocab_size).double()
    together = list(answer_questions(model, tokenizer, questions, options, declines=False, lanes=3))
    for question, told in zip(questions, together, strict=True):
        (alone,) = answer_questions(model, tokenizer, [question], options, declines=False, lanes=1)
        assert (alone.text, alone.begin, alone.end) == (told.text, told.begin, told.end)
        assert alone.probability == pytest.approx(told.probability)
        assert told.begin is not None
        assert question.context[told.begin : told.end] == told.text == told.text.strip()
        assert 0 < told.probability <= 1


def test_a_text_may_have_no_answer() -> None:
    model = answerer(vocab_size=PIECES.vocab_size)
    with torch.no_grad():
        model.spans.map.weight.zero_()
        model.spans.map.bias.zero_()
    asked = [Question("1", "The SHIPS sailed", "sea?", ())]
    options = AnswerOptions(longest_answer=2)
    # Nine spans of one token or two, all as likely as none: 4 + 3 of them, and 1.
    (told,) = answer_questions(model, PIECES, asked, options, declines=True, lanes=1)
    n_tokens = len(PIECES.encode(asked[0].context))
    assert (told.text, told.begin, told.end) == ("", None, None)
    assert told.probability == pytest.approx(1 / (2 * n_tokens))
    (told,) = answer_questions(model, PIECES, asked, options, declines=False, lanes=1)
    assert told.text in asked[0].context
    assert told.probability == pytest.approx(1 / (2 * n_tokens - 1))


def test_what_cannot_be_answered() -> None:
    options = AnswerOptions(longest_answer=2)
    with pytest.raises(ConfigError, match=r"lanes=0 is too small\. Choose 1 or more"):
        list(answer_questions(answerer(), BYTES, QUESTIONS, options, declines=False, lanes=0))
    model, empty = answerer(vocab_size=PIECES.vocab_size), [Question("letter.txt", "\u200e", "sea?", ())]
    with pytest.raises(DataError, match=r"letter\.txt has a text in which there is nothing to read\. Leave it out"):
        list(answer_questions(model, PIECES, empty, options, declines=False, lanes=1))


def test_another_config_has_the_same_weights() -> None:
    model = answerer()
    other = model.with_config(window=4)
    assert other.weights_digest() == model.weights_digest()
    assert (other.config.window, other.architecture) == (4, "longformer-encoder")  # pyright: ignore[reportAttributeAccessIssue]
