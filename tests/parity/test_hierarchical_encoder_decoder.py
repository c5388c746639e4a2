"""Hierarchical encoder-decoder: its encoder against the one-by-one twin, its decoder the Transformer's."""

from typing import Any

import pytest
import torch
from torch import Tensor

from everlong.errors import ShapeError
from everlong.models import create_model
from everlong.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from everlong.models.hierarchical_encoder_decoder import HierarchicalEncoderDecoder, HierarchicalEncoderDecoderConfig
from everlong.testing.subject import stir_weights
from tests.parity.sections import TEXTS, packed
from tests.reference.hierarchies import hierarchical_source_one_by_one

SMALL = {"vocab_size": 11, "d_model": 8, "n_layers": 2, "n_heads": 2, "d_ff": 12}
FORMS: list[dict[str, Any]] = [
    {},
    {"layout": "SSD", "n_layers": 5, "n_heads": 1, "positions": "rotary", "shared_embedding": False},
    {"norm": "post", "n_layers": 3},
]


def make(**fields: Any) -> HierarchicalEncoderDecoder:
    model = HierarchicalEncoderDecoder(HierarchicalEncoderDecoderConfig(**{**SMALL, **fields})).double()
    stir_weights(model, seed=2)
    return model


@pytest.mark.parametrize("fields", FORMS, ids=str)
def test_its_encoder_is_the_twin_in_values_and_gradients(fields: dict[str, Any]) -> None:
    model = make(**fields)
    tokens, lengths, sections = packed(TEXTS)
    found = model.read(tokens, lengths=lengths, sections=sections).source
    expected = torch.zeros_like(found)
    for lane, text in enumerate(TEXTS):
        if text:
            states = hierarchical_source_one_by_one(model, text)
            expected[lane, :, : lengths[lane]] = torch.stack([layer.keep(states) for layer in model.layers])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    mixture = torch.randn(found.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    table = [] if model.source_embedding is None else [model.source_embedding.weight]
    weights = [model.vector, *table, *model.encoder_layers.parameters(), *model.encoder_norm.parameters()]
    ours, theirs = (torch.autograd.grad((x * mixture).sum(), weights) for x in (found, expected))
    for one, two in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-11)


def test_its_decoder_is_the_transformers() -> None:
    model = make()
    other = EncoderDecoder(EncoderDecoderConfig(**SMALL)).double()
    own = {name: x for name, x in model.state_dict().items() if not name.startswith(("encoder", "vector"))}
    other.load_state_dict({**other.state_dict(), **own})
    memory, tokens = model.read(torch.randint(11, (2, 9))), torch.randint(11, (2, 5))
    same = other.init_memory(2, source_slots=9)
    given = type(same)(**{**same.flatten(), "source": memory.source, "source_length": memory.source_length})
    torch.testing.assert_close(model(tokens, memory)[0], other(tokens, given)[0], rtol=0, atol=1e-12)


def test_sections_are_even_where_none_are_marked() -> None:
    model, source = make(segment=4), torch.randint(11, (2, 11))
    lengths = torch.tensor([11, 6])
    begins = (torch.arange(11) % 4 == 0).expand(2, -1)
    even, marked = (model.read(source, lengths=lengths, sections=marks).source for marks in (None, begins))
    assert torch.equal(even, marked)
    # The first token begins a section in any case, and marks on padding say nothing.
    begins = begins.clone()
    begins[:, 0], begins[1, 6:] = False, True
    assert torch.equal(model.read(source, lengths=lengths, sections=begins).source, even)


def test_a_source_in_sections_is_read_as_if_it_were_alone() -> None:
    model = make()
    tokens, lengths, sections = packed(TEXTS)
    together = model.read(tokens, lengths=lengths, sections=sections).source
    for lane, length in enumerate(lengths.tolist()):
        if not length:
            assert not together[lane].any()
            continue
        only = slice(lane, lane + 1), slice(0, length)
        alone = model.read(tokens[only], sections=sections[only]).source
        torch.testing.assert_close(together[lane, :, :length], alone[0], rtol=0, atol=1e-12)


def moved(model: HierarchicalEncoderDecoder, source: Tensor, other: Tensor) -> list[bool]:
    """Which sections of four tokens have other states in another source."""
    gap = (model.read(source).source - model.read(other).source).detach().abs().amax(dim=(0, 1, 3))
    return (gap.view(-1, 4).amax(dim=1) > 1e-9).tolist()


@pytest.mark.parametrize(("layout", "others"), [("S", False), ("SD", True)])
def test_sections_hear_of_each_other_by_their_vectors_alone(layout: str, others: bool) -> None:
    model, source = make(layout=layout, segment=4), torch.arange(12)[None] % 11
    swapped = source[:, [0, 2, 1, *range(3, 12)]]
    assert moved(model, source, swapped) == [True, others, others]


def test_other_models_are_not_told_where_sections_begin() -> None:
    model = create_model("encoder-decoder", **SMALL)
    tokens, lengths, sections = packed(TEXTS)
    with pytest.raises(ShapeError, match=r"encoder-decoder does not read its source in sections\. Leave out sections"):
        model.read(tokens, lengths=lengths, sections=sections)
