"""Entities counted against the conlleval script, the likeliest tags against all that fit, and what is told of texts."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from everlong.data import ByteTokenizer, Tokenizer
from everlong.data.tags import read_entities
from everlong.errors import ConfigError, DataError
from everlong.evaluate.entities import Count, EntityEvaluation, word_scores
from everlong.evaluate.tag_path import likeliest_tags
from everlong.evaluate.tagging import TagReading, tag_texts
from everlong.models import create_model, list_models
from everlong.models.tagger import Tagger
from tests.reference.conlleval import count_one_by_one
from tests.unit.data.test_data_pretrained import PIECES

BYTES = ByteTokenizer()
TEXTS = ["It was Mr. Ford of Paris!\n\nTruly awful, U.N. said.", "他在巴黎来了。好 film。", "a", "a"]
TAGS = st.sampled_from(["O", "B-LOC", "I-LOC", "B-ORG", "I-ORG"])
ROWS = st.lists(st.tuples(TAGS, TAGS), min_size=1, max_size=12)


def tagger(name: str = "bilstm", **fields: object) -> Tagger:
    torch.manual_seed(0)
    return Tagger(create_model(name, **{"d_model": 8, **fields}), ["LOC", "ORG"]).eval()


def reading(tokenizer: Tokenizer = BYTES, *, by_character: bool = False, **options: object) -> TagReading:
    return TagReading.of(tokenizer, {"by_character": by_character, "options": options})


def test_figures_by_hand() -> None:
    found = EntityEvaluation()
    found.add(*(read_entities(tags.split(), "") for tags in ("B-LOC I-LOC O B-ORG B-LOC", "B-LOC O O B-ORG B-ORG")))
    found.add(*(read_entities(tags.split(), "") for tags in ("O B-LOC", "B-LOC B-LOC")))
    assert (found.n_texts, found.all) == (2, Count(have=4, told=5, right=2))
    assert found.by_type == {"LOC": Count(3, 3, 1), "ORG": Count(1, 2, 1)}
    assert (found.all.precision, found.all.recall, found.all.f1) == (2 / 5, 1 / 2, pytest.approx(4 / 9))
    assert found.all.f1 == pytest.approx(2 / (1 / found.all.precision + 1 / found.all.recall))
    nothing = Count(0, 0, 0)
    assert (nothing.precision, nothing.recall, nothing.f1) == (0, 0, 0)
    found.n_words, found.nats = 7, 7 * math.log(2)
    assert found.to_dict()["by_type"]["ORG"] == Count(1, 2, 1).to_dict()
    assert (found.to_dict()["f1"], found.to_dict()["bits_per_word"]) == (found.all.f1, pytest.approx(1))


@given(texts=st.lists(ROWS, min_size=1, max_size=4))
def test_slow_twin_counts_the_same(texts: list[list[tuple[str, str]]]) -> None:
    found, rows = EntityEvaluation(), [tuple(zip(*text, strict=True)) for text in texts]
    for true, told in rows:
        found.add(read_entities(true, ""), read_entities(told, ""))
    have, told, right = count_one_by_one([(list(true), list(told)) for true, told in rows])
    assert (found.have, found.told, +found.right) == (have, told, right)
    assert isinstance(have, Counter)


@given(n_words=st.integers(1, 5), n_types=st.integers(1, 2), seed=st.integers(0, 999))
def test_slow_twin_tries_all_tags_that_fit(n_words: int, n_types: int, seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=(n_words, 1 + 2 * n_types))

    def fits(tags: tuple[int, ...]) -> bool:
        return all(
            tag == 0 or tag % 2 or before in (tag - 1, tag) for before, tag in itertools.pairwise((0, *tags))
        )  # fmt: skip

    every = filter(fits, itertools.product(range(1 + 2 * n_types), repeat=n_words))
    best = max(every, key=lambda tags: sum(scores[n, tag] for n, tag in enumerate(tags)))
    assert likeliest_tags(scores) == list(best)


def test_the_likeliest_tags_may_differ_from_the_likeliest_tag_of_each_word() -> None:
    scores = np.log(np.array([[0.5, 0.4, 0.1], [0.1, 0.2, 0.7]]))
    assert likeliest_tags(scores) == [1, 2]


@pytest.mark.parametrize("name", list_models("encoder"))
def test_what_is_told_does_not_depend_on_company(name: str) -> None:
    model = tagger(name).double()
    together = list(tag_texts(model, TEXTS, reading(), lanes=4))
    assert any(tagged.entities for tagged in together)
    for text, tagged in zip(TEXTS, together, strict=True):
        assert list(tag_texts(model, [text], reading(), lanes=1)) == [tagged]
        for one in tagged.entities:
            assert text[one.begin : one.end] == one.text
            assert one.type in model.types


@pytest.mark.parametrize("tokenizer", [BYTES, PIECES], ids=["bytes", "pieces"])
def test_windows_and_documents_say_something_of_every_word(tokenizer: Tokenizer) -> None:
    model = tagger("bert", vocab_size=tokenizer.vocab_size).double()
    with torch.no_grad():
        model.tags.map.bias += torch.tensor([-9.0, 9, 0, 0, 0])
    for options in ({}, {"width": 7}, {"unit": "document"}, {"unit": "document", "width": 9}):
        first, second, *_ = tag_texts(model, TEXTS, reading(tokenizer, **options), lanes=2)
        assert [one.text for one in first.entities][:8] == ["It", "was", "Mr", ".", "Ford", "of", "Paris", "!"]
        assert "".join(one.text for one in second.entities) == "他在巴黎来了。好film。"
    (told,) = tag_texts(model, ["于 1963年"], reading(tokenizer, by_character=True), lanes=2)
    assert [one.text for one in told.entities] == list("于1963年")


def test_an_entity_spans_what_stood_between_its_words() -> None:
    model = tagger("bert").double()
    with torch.no_grad():
        model.tags.map.bias += torch.tensor([-9.0, 0, 9, 0, 0])
    (told,) = tag_texts(model, ["New\n  York  "], reading(), lanes=1)
    assert [(one.type, one.text, one.begin, one.end) for one in told.entities] == [("LOC", "New\n  York", 0, 10)]


def test_what_cannot_be_told() -> None:
    with pytest.raises(ConfigError, match=r"lanes=0 is too small\. Choose 1 or more"):
        list(tag_texts(tagger(), ["a"], reading(), lanes=0))
    with pytest.raises(ConfigError, match=r"lanes=0 is too small to read a window\. Choose 1 or more"):
        word_scores(tagger(), [], lanes=0)
    with pytest.raises(DataError, match=r"a text to be tagged is empty\. Leave it out"):
        list(tag_texts(tagger(), ["a", " "], reading(), lanes=2))


def test_another_config_has_the_same_weights() -> None:
    model = tagger("longformer-encoder")
    other = model.with_config(window=4)
    assert other.weights_digest() == model.weights_digest()
    assert (other.encoder.config.window, other.types, other.architecture) == (4, model.types, "longformer-encoder")
