"""Accuracy and macro-F1 by hand, and what is told about texts."""

import math

import pytest
import torch

from everlong.data import ByteTokenizer
from everlong.data.labelled import LabelledOptions
from everlong.errors import ConfigError, DataError
from everlong.evaluate.classes import ClassEvaluation
from everlong.evaluate.telling import tell_labels
from everlong.models import create_model, list_models
from everlong.models.classifier import Classifier
from tests.unit.data.test_data_pretrained import PIECES

BYTES = ByteTokenizer()
TEXTS = ["It was dull. Truly awful!", "他来了。好 film。", "a"]


def classifier(name: str = "han", **fields: object) -> Classifier:
    torch.manual_seed(0)
    return Classifier(create_model(name, **{"d_model": 8, **fields}), ["bad", "good", "so so"]).eval()


def test_figures() -> None:
    counts = torch.tensor([[3, 1, 0], [1, 4, 0], [0, 1, 0]])
    found = ClassEvaluation(labels=("a", "b", "c"), counts=counts, nats=10 * math.log(2))
    assert (found.n_texts, found.accuracy, found.bits) == (10, 0.7, pytest.approx(1.0))
    assert found.f1 == {"a": pytest.approx(6 / 8), "b": pytest.approx(8 / 11), "c": 0.0}
    assert found.macro_f1 == pytest.approx((6 / 8 + 8 / 11) / 3)


def test_a_label_that_no_text_has_and_none_is_told_does_not_count() -> None:
    found = ClassEvaluation(labels=("a", "b", "c"), counts=torch.tensor([[2, 0, 0], [0, 1, 0], [0, 0, 0]]), nats=0.0)
    assert found.macro_f1 == 1.0


@pytest.mark.parametrize("name", list_models("encoder"))
def test_what_is_told_does_not_depend_on_company(name: str) -> None:
    model = classifier(name).double()
    options = LabelledOptions()
    together = list(tell_labels(model, BYTES, TEXTS, options, lanes=3, explain=False))
    for text, told in zip(TEXTS, together, strict=True):
        (alone,) = tell_labels(model, BYTES, [text], options, lanes=1, explain=False)
        assert alone.label == told.label
        assert alone.probabilities == pytest.approx(told.probabilities, abs=1e-12)
        assert sum(told.probabilities.values()) == pytest.approx(1)
        assert told.probability == max(told.probabilities.values()) == told.probabilities[told.label]


def test_an_explanation_has_all_sentences_and_words_and_their_weights() -> None:
    told = list(tell_labels(classifier(), BYTES, TEXTS, LabelledOptions(), lanes=2, explain=True))
    sentences = told[0].sentences
    assert sentences is not None
    assert [sentence.text for sentence in sentences] == ["It was dull. ", "Truly awful!"]
    assert [word.text for word in sentences[0].words] == ["It", "was", "dull", "."]
    assert sum(sentence.weight for sentence in sentences) == pytest.approx(1)
    # A space at the end begins no word, and its weight is nobody's.
    assert 0.8 < sum(word.weight for word in sentences[0].words) < 1
    assert sum(word.weight for word in sentences[1].words) == pytest.approx(1)
    chinese = told[1].sentences
    assert chinese is not None
    assert [word.text for word in chinese[0].words] == ["他", "来", "了", "。"]
    assert [word.text for word in chinese[1].words] == ["好", "film", "。"]


def test_marks_are_no_part_of_words() -> None:
    text = "“No — it’s «Oui», été…” ，abc，한국어"
    (told,) = tell_labels(classifier(), BYTES, [text], LabelledOptions(), lanes=1, explain=True)
    assert told.sentences is not None
    words = [word.text for sentence in told.sentences for word in sentence.words]
    assert words == ["“", "No", "—", "it", "’", "s", "«", "Oui", "»", ",", "été", "…", "”", "，", "abc", "，", "한국어"]


def test_an_explanation_shows_the_text_as_it_was_written() -> None:
    (told,) = tell_labels(classifier(), PIECES, ["The SHIPS.\nNaïve 海"], LabelledOptions(), lanes=1, explain=True)
    assert told.sentences is not None
    assert [sentence.text for sentence in told.sentences] == ["The SHIPS.", "Naïve 海"]
    assert [word.text for word in told.sentences[1].words] == ["Naïve", "海"]


def test_what_cannot_be_told_or_explained() -> None:
    with pytest.raises(ConfigError, match=r"lanes=0 is too small\. Choose 1 or more"):
        list(tell_labels(classifier(), BYTES, ["a"], LabelledOptions(), lanes=0, explain=False))
    with pytest.raises(ConfigError, match=r"this bert does not weigh words and sentences\. Explain a han"):
        list(tell_labels(classifier("bert"), BYTES, TEXTS, LabelledOptions(), lanes=1, explain=True))
    with pytest.raises(ConfigError, match=r"this han does not weigh words and sentences"):
        list(tell_labels(classifier(pooling="max"), BYTES, TEXTS, LabelledOptions(), lanes=1, explain=True))
    with pytest.raises(DataError, match=r"a text to be classified is empty\. Leave it out"):
        list(tell_labels(classifier(), BYTES, ["a", " "], LabelledOptions(), lanes=2, explain=False))
    with pytest.raises(DataError, match=r"a text to be classified is empty\. Leave it out"):
        list(tell_labels(classifier(), PIECES, ["\u200e"], LabelledOptions(), lanes=1, explain=False))


def test_another_config_has_the_same_weights() -> None:
    model = classifier("longformer-encoder")
    other = model.with_config(window=4)
    assert other.weights_digest() == model.weights_digest()
    assert (other.encoder.config.window, other.labels, other.architecture) == (4, model.labels, "longformer-encoder")
