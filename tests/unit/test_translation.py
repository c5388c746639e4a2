"""Lines translated: in their order, each as if it were alone, empty ones empty, long ones whole."""

from typing import Any

import pytest
import torch

from everlong.data import ByteTokenizer
from everlong.errors import ConfigError, DataError
from everlong.evaluate.overlap import overlap
from everlong.generate import translation
from everlong.generate.translation import SPARE, Decoding, translate_lines
from everlong.models import create_model, list_models
from everlong.testing.subject import stir_weights

BYTES = ByteTokenizer()
LINES = ["one", "", "a longer line than the others", "two", " ", "三"]


def make(name: str = "recurrent-encoder-decoder", **fields: Any) -> Any:
    torch.manual_seed(2)
    model = create_model(name, d_model=16, n_layers=1, **fields).double().eval()
    stir_weights(model, seed=1)
    return model


def translated(model: Any, lines: list[str], **options: Any) -> list[tuple[str, float]]:
    lanes = options.pop("lanes", 16)
    decoding = Decoding(**{"beams": 2, "longest": 0.5, **options})
    found = translate_lines(model, BYTES, lines, decoding=decoding, lanes=lanes)
    return [(one.text, round(one.score, 9)) for one in found]


@pytest.mark.parametrize("name", list_models("seq2seq"))
def test_a_line_is_translated_as_if_it_were_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(name)
    together = translated(model, LINES)
    assert together == [found for line in LINES for found in translated(model, [line])]
    assert together[1] == together[4] == ("", 0.0)
    assert len(set(together)) == 5
    monkeypatch.setattr(translation, "POOL", 1)
    assert translated(model, LINES, lanes=2) == together


def test_lines_come_as_they_are_asked_for() -> None:
    asked: list[str] = []

    def lines() -> Any:
        for n in range(2000):
            asked.append(str(n))
            yield ""

    found = translate_lines(make(), BYTES, lines(), decoding=Decoding(), lanes=2)
    next(found)
    assert len(asked) == 2 * translation.POOL


def test_no_end_of_a_source_is_left_out() -> None:
    model, line = make(), "x" * 700
    changed = "y" + line[1:], line[:-1] + "y"
    memories = [model.read(torch.tensor([BYTES.encode(text)])).source for text in (line, *changed)]
    assert memories[0].shape[1] == 700
    assert not torch.equal(memories[0][:, -1], memories[2][:, -1])
    assert not torch.equal(memories[0][:, 0], memories[1][:, 0])


def test_what_is_ended_by_its_length_says_so() -> None:
    model = make()
    with torch.no_grad():
        model.head.bias[10] = -1e9
    (found,) = translate_lines(model, BYTES, ["ab"], decoding=Decoding(beams=1, longest=2))
    assert not found.ended
    with torch.no_grad():
        model.head.bias[:] = -1e9
        model.head.bias[120] = 0.0
    (found,) = translate_lines(model, BYTES, ["ab"], decoding=Decoding(beams=1, longest=2))
    assert found.text == "x" * (4 + SPARE)
    assert found.score == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("token", [10, 13], ids=["feed", "return"])
def test_a_translation_is_one_line(token: int) -> None:
    model = make()
    with torch.no_grad():
        model.head.bias[:] = -1e9
        model.head.bias[token] = 0.0
    (found,) = translate_lines(model, BYTES, ["ab"], decoding=Decoding(beams=1, longest=2))
    assert found.text.strip() == ""
    assert len(found.text.splitlines()) <= 1


def test_what_does_not_fit() -> None:
    with pytest.raises(ConfigError, match=r"lanes=0 is too few to translate anything side by side\. Give 1 or more"):
        translated(make(), ["a"], lanes=0)
    with pytest.raises(ConfigError, match="the model is in training mode"):
        translated(make().train(), ["a"])
    with pytest.raises(ConfigError, match="the tokenizer 'byte' has 256 tokens, the model 100"):
        translated(make(vocab_size=100), ["a"])
    with pytest.raises(ConfigError, match=r"Decoding.beams = 0 does not fit"):
        translated(make(), ["a"], beams=0)
    with pytest.raises(DataError, match="surrogate"):
        translated(make(), ["\ud800"])


def test_overlap_is_sacrebleus() -> None:
    pytest.importorskip("sacrebleu")
    same = overlap(["A dog runs over the road."], ["A dog runs over the road."])
    assert same is not None
    assert (round(same.bleu, 6), round(same.chrf, 6)) == (100.0, 100.0)
    assert "tok:13a" in same.signature
    # Four of four unigrams, three of three pairs, ... of one character less: only the brevity counts, exp(1 - 6/5).
    chinese = overlap(["我们在这里"], ["我们在这里吗"])
    assert chinese is not None
    assert "tok:zh" in chinese.signature
    assert chinese.bleu == pytest.approx(100 * 2.718281828 ** (1 - 6 / 5), abs=1e-4)


def test_without_sacrebleu_there_is_no_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sacrebleu", None)
    assert overlap(["a"], ["a"]) is None
