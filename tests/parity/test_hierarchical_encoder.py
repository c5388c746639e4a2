"""The hierarchical encoder against its one-by-one twin and BERT, and which section may know of which."""

from typing import Any

import pytest
import torch
from torch import Tensor

from everlong.models.bert import Bert, BertConfig
from everlong.models.hierarchical_encoder import HierarchicalEncoder, HierarchicalEncoderConfig
from everlong.testing.subject import stir_weights
from tests.parity.sections import TEXTS, packed, require_same
from tests.reference.hierarchies import hierarchical_encoder_one_by_one

SMALL = {"vocab_size": 11, "d_model": 8, "n_layers": 2, "n_heads": 2, "d_ff": 12}
FORMS: list[dict[str, Any]] = [{}, {"layout": "SSD", "n_layers": 5, "n_heads": 1}, {"norm": "post", "n_layers": 4}]
SIZES = {"n_layers": 2, "n_heads": 2, "d_ff": 12}
INSIDE: dict[str, dict[str, Any]] = {
    "bert": {**SIZES, "norm": "post", "positions": "learned", "n_positions": 5},
    "longformer-encoder": {**SIZES, "window": 4},
    "reformer-encoder": {**SIZES, "window": 4, "bucket_size": 2, "n_buckets": 4, "n_hashes": 2},
}
FORMS += [{"inside": name, "inside_config": fields} for name, fields in INSIDE.items()]
FORMS += [{"inside": "bert", "norm": "post", "layout": "SDSD", "n_layers": 3}]


def make(**fields: Any) -> HierarchicalEncoder:
    model = HierarchicalEncoder(HierarchicalEncoderConfig(**{**SMALL, **fields})).double()
    stir_weights(model, seed=2)
    return model


@pytest.mark.parametrize("fields", FORMS, ids=str)
def test_equal_to_the_twin_values_and_gradients(fields: dict[str, Any]) -> None:
    model = make(**fields)
    tokens, lengths, sections = packed(TEXTS)
    hidden = model(tokens, lengths=lengths, sections=sections)
    vectors = model.pool(tokens, lengths=lengths, sections=sections)
    expected, documents = torch.zeros_like(hidden), torch.zeros_like(vectors)
    for lane, text in enumerate(TEXTS):
        if text:
            expected[lane, : lengths[lane]], documents[lane] = hierarchical_encoder_one_by_one(model, text)
    require_same(model, (hidden, vectors), (expected, documents))


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_one_section_is_a_flat_encoder(norm: str) -> None:
    """BERT over the same tokens, with the learned vector as one symbol more before them."""
    model = make(layout="S", n_layers=3, norm=norm, segment=9)
    flat = Bert(BertConfig(**{**SMALL, "vocab_size": 12, "n_layers": 3, "norm": norm})).double()  # type: ignore[arg-type]
    state = {name: x for name, x in model.state_dict().items() if name.startswith(("layers.", "norm."))}
    state["embedding.weight"] = torch.cat([model.embedding.weight, model.vector[None]])
    flat.load_state_dict(state, strict=False)
    tokens = torch.randint(11, (2, 9))
    whole = flat(torch.cat([torch.full((2, 1), 12), tokens], dim=1))
    torch.testing.assert_close(model(tokens), whole[:, 1:], rtol=0, atol=1e-12)
    torch.testing.assert_close(model.pool(tokens), whole[:, 0], rtol=0, atol=1e-12)


def moved(model: HierarchicalEncoder, tokens: Tensor, other: Tensor) -> list[bool]:
    """Which sections of four tokens have other hidden states in another text."""
    gap = (model(tokens) - model(other)).detach().abs().amax(dim=-1)[0]
    return (gap.view(-1, 4).amax(dim=1) > 1e-9).tolist()


@pytest.mark.parametrize(
    ("layout", "n_layers", "others"),
    [("S", 3, False), ("SSD", 3, False), ("SD", 3, True), ("SSDS", 4, True)],
)
def test_a_section_hears_of_another_by_its_vector_alone(layout: str, n_layers: int, others: bool) -> None:
    model, tokens = make(layout=layout, n_layers=n_layers, segment=4), torch.arange(12)[None] % 11
    swapped = tokens[:, [0, 2, 1, *range(3, 12)]]
    assert moved(model, tokens, swapped) == [True, others, others]


def test_a_vector_knows_how_far_apart_sections_are() -> None:
    model = make(segment=4, layout="SDS", n_layers=3)
    tokens = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8, 5, 6, 7, 9]])
    swapped = tokens[:, [0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7]]
    assert moved(model, tokens, swapped)[0]


def test_kinds_are_the_layout_repeated() -> None:
    assert HierarchicalEncoderConfig(n_layers=5).kinds == "SDSDS"
    assert HierarchicalEncoderConfig(n_layers=7, layout="SSD").kinds == "SSDSSDS"
    assert HierarchicalEncoderConfig(n_layers=4, layout="SSSSSSDD").kinds == "SSSS"
