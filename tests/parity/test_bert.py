"""BERT against its one-by-one twin, against `torch.nn`, and the facts of its papers."""

from typing import Any

import pytest
import torch
from torch import nn

from everlong.models.bert import Bert, BertConfig
from everlong.testing.subject import stir_weights
from tests.reference.bert import bert_one_by_one, masked_logits_one

FORMS = [
    {},
    {"norm": "post"},
    {"positions": "learned", "n_positions": 4},
    {"positions": "learned", "norm": "post", "n_heads": 4},
    {"norm_eps": 1e-2},
]


def make(**fields: Any) -> Bert:
    config = BertConfig(**{"vocab_size": 11, "d_model": 16, "n_layers": 2, "n_heads": 2, "d_ff": 20, **fields})
    model = Bert(config).double()
    stir_weights(model, seed=3)
    return model


@pytest.mark.parametrize("fields", FORMS, ids=str)
def test_equal_to_the_twin_values_and_gradients(fields: dict[str, Any]) -> None:
    model, rng = make(**fields), torch.Generator().manual_seed(1)
    tokens, lengths = torch.randint(12, (3, 9), generator=rng), torch.tensor([9, 1, 6])
    mixture = torch.randn(3, 9, 16, dtype=torch.float64, generator=rng)
    hidden = model(tokens, lengths=lengths)
    expected = torch.zeros_like(hidden)
    for lane, length in enumerate(lengths.tolist()):
        expected[lane, :length] = bert_one_by_one(model, tokens[lane, :length].tolist())
    torch.testing.assert_close(hidden, expected, rtol=0, atol=1e-12)
    weights = [p for name, p in model.named_parameters() if not name.startswith("head.")]
    found, slow = (
        torch.autograd.grad((states * mixture).sum(), weights, allow_unused=True) for states in (hidden, expected)
    )
    for ours, theirs in zip(found, slow, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("norm_eps", [1e-5, 1e-2])
def test_the_head_answers_as_its_twin(norm_eps: float) -> None:
    model = make(norm_eps=norm_eps)
    hidden = torch.randn(2, 3, 16, dtype=torch.float64)
    for lane in range(2):
        for t in range(3):
            expected = masked_logits_one(hidden[lane, t], model.head)
            torch.testing.assert_close(model.head.logits(hidden)[lane, t], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_layers_are_those_of_torch(norm: str) -> None:
    model = make(norm=norm, positions="learned", n_positions=9, n_layers=3)
    theirs = [by_the_library(layer, model.config) for layer in model.layers]
    tokens, lengths = torch.randint(11, (2, 9)), torch.tensor([9, 5])
    x = model.embedding(tokens) + model.places.weight  # pyright: ignore
    x = x if norm == "pre" else model.norm(x)
    for layer in theirs:
        x = layer(x, src_key_padding_mask=torch.arange(9) >= lengths[:, None])
    x = model.norm(x) if norm == "pre" else x
    found = model(tokens, lengths=lengths)
    torch.testing.assert_close(found[0], x[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(found[1, :5], x[1, :5], rtol=0, atol=1e-12)


def by_the_library(layer: Any, config: BertConfig) -> nn.TransformerEncoderLayer:
    theirs = nn.TransformerEncoderLayer(
        config.d_model, config.n_heads, config.d_ff, dropout=0.0, activation="gelu", batch_first=True,
        norm_first=config.norm == "pre",
    ).double()  # fmt: skip
    pairs = {
        "self_attn.in_proj_": layer.project, "self_attn.out_proj.": layer.out, "linear1.": layer.ff.up,
        "linear2.": layer.ff.down, "norm1.": layer.attention_norm, "norm2.": layer.ff_norm,
    }  # fmt: skip
    theirs.load_state_dict(
        {name + part: getattr(ours, part) for name, ours in pairs.items() for part in ("weight", "bias")}
    )
    return theirs


def test_without_positions_a_text_is_a_bag() -> None:
    model, order = make(positions="learned", n_positions=1), torch.randperm(9)
    tokens = torch.randint(11, (2, 9))
    torch.testing.assert_close(model(tokens[:, order]), model(tokens)[:, order], rtol=0, atol=1e-12)


def test_a_rotated_text_read_backwards_is_its_mirror_when_turned_the_other_way() -> None:
    """Scores depend on differences of positions alone, so mirroring a text and every angle changes nothing."""
    model = make()
    tokens = torch.randint(11, (2, 9))
    forward = model(tokens)
    rotary = model.layers[0].rotary  # pyright: ignore
    angles = rotary.angles
    rotary.angles = lambda count, *, like: angles(count, like=like) * torch.tensor([[1.0], [-1.0]], dtype=like.dtype)
    torch.testing.assert_close(model(tokens.flip(1)), forward.flip(1), rtol=0, atol=1e-12)


def test_learned_positions_begin_again() -> None:
    """Rows k and k + n of a lengthened table are the same (Beltagy et al., 2020), so short texts are as they were."""
    short = make(positions="learned", n_positions=4)
    long = make(positions="learned", n_positions=12)
    state = short.state_dict()
    state["places.weight"] = state["places.weight"].repeat(3, 1)
    long.load_state_dict(state)
    tokens = torch.randint(11, (2, 12))
    assert torch.equal(long(tokens), short(tokens))


def test_sizes_of_the_published_base_model() -> None:
    """110 million parameters with a vocabulary of 30,522; ours has one symbol more and no segments or pooler."""
    with torch.device("meta"):
        base = Bert(
            BertConfig(
                vocab_size=30522, d_model=768, n_layers=12, n_heads=12, d_ff=3072, norm="post", positions="learned"
            )
        )
    published = 109_482_240 - 2 * 768 - (768 * 768 + 768)
    masked_head = 768 * 768 + 768 + 2 * 768 + 30522
    assert sum(p.numel() for p in base.parameters()) == published + 768 + masked_head
