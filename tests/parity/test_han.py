"""HAN against its one-by-one twin and torch's GRU, and what its weights add up to."""

from typing import Any

import pytest
import torch

from everlong.errors import ConfigError
from everlong.models.han import HAN, HANConfig
from everlong.nn.both_ways import BiGRU
from everlong.nn.stretches import Stretches
from everlong.testing.subject import stir_weights
from tests.parity.sections import TEXTS, packed, require_same
from tests.reference.hierarchies import han_one_by_one


def make(**fields: Any) -> HAN:
    model = HAN(HANConfig(**{"vocab_size": 11, "d_model": 8, **fields})).double()
    stir_weights(model, seed=2)
    return model


@pytest.mark.parametrize("fields", [{}, {"n_layers": 2}, {"pooling": "mean"}, {"pooling": "max"}], ids=str)
def test_equal_to_the_twin_values_and_gradients(fields: dict[str, Any]) -> None:
    model = make(**fields)
    tokens, lengths, sections = packed(TEXTS)
    hidden = model(tokens, lengths=lengths, sections=sections)
    vectors = model.pool(tokens, lengths=lengths, sections=sections)
    expected, documents = torch.zeros_like(hidden), torch.zeros_like(vectors)
    for lane, text in enumerate(TEXTS):
        if text:
            expected[lane, : lengths[lane]], documents[lane], _, _ = han_one_by_one(model, text)
    require_same(model, (hidden, vectors), (expected, documents))


def test_a_gru_both_ways_is_that_of_torch() -> None:
    cells = BiGRU(width=8, n_layers=3, dropout=0.0).double()
    lengths = torch.tensor([5, 1, 9, 4, 7])
    line = torch.randn(26, 8, dtype=torch.float64)
    found = cells(line, Stretches(lengths))
    parts = [cells.cells(part[:, None])[0][:, 0] for part in line.split(lengths.tolist())]
    torch.testing.assert_close(found, torch.cat(parts), rtol=0, atol=1e-13)


def test_explained_weights_are_the_twins_add_up_to_one_and_padding_has_none() -> None:
    model = make()
    tokens, lengths, sections = packed(TEXTS)
    found = model.explain(tokens, lengths=lengths, sections=sections)
    assert found.sentences.shape == (4, 3)
    for lane, text in enumerate(TEXTS):
        if not text:
            assert not found.words[lane].any()
            assert not found.sentences[lane].any()
            continue
        _, _, by_word, by_sentence = han_one_by_one(model, text)
        n = int(lengths[lane])
        torch.testing.assert_close(found.words[lane, :n], torch.cat(by_word).detach(), rtol=0, atol=1e-12)
        torch.testing.assert_close(found.sentences[lane, : len(text)], by_sentence.detach(), rtol=0, atol=1e-12)
        assert found.words[lane].sum().item() == pytest.approx(len(text))
        assert found.sentences[lane].sum().item() == pytest.approx(1)
        assert not found.words[lane, n:].any()


def test_the_sum_is_over_states_and_not_over_what_scores_are_made_of() -> None:
    """With a context of zeros attention is a mean, of `h`."""
    model, mean = make(), make(pooling="mean")
    with torch.no_grad():
        model.words.score.context.zero_()  # pyright: ignore[reportOptionalMemberAccess]
        model.sentences.score.context.zero_()  # pyright: ignore[reportOptionalMemberAccess]
    mean.load_state_dict({name: x for name, x in model.state_dict().items() if ".score." not in name})
    tokens, lengths, sections = packed(TEXTS)
    ours, theirs = (one.pool(tokens, lengths=lengths, sections=sections) for one in (model, mean))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-13)


def test_sentences_that_are_not_marked_are_even() -> None:
    model = make(segment=4)
    tokens = torch.arange(11)[None] % 10
    sections = torch.arange(11)[None] % 4 == 0
    assert torch.equal(model.pool(tokens), model.pool(tokens, sections=sections))
    assert torch.equal(model(tokens), model(tokens, sections=sections))


def test_only_attention_can_be_explained() -> None:
    with pytest.raises(ConfigError, match=r"pooling=max weighs no words or sentences\. Explain a model with pooling="):
        make(pooling="max").explain(torch.tensor([[1, 2]]))
