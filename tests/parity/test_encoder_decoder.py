"""The Transformer against its one-by-one twin and against `torch.nn.Transformer`, with equal weights."""

from typing import Any

import pytest
import torch
from torch import nn

from everlong.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from everlong.nn.position import sinusoids
from everlong.testing.subject import stir_weights
from tests.reference.encoder_decoder import hidden_one_by_one

FORMS = [
    {},
    {"norm": "post", "shared_embedding": False},
    {"positions": "rotary", "context": 4},
    {"positions": "rotary", "norm": "post", "n_heads": 4},
    {"context": 3, "n_heads": 1},
]


def make(**fields: Any) -> EncoderDecoder:
    given = {"vocab_size": 11, "d_model": 16, "n_layers": 2, "n_heads": 2, "d_ff": 20, "context": 40, **fields}
    model = EncoderDecoder(EncoderDecoderConfig(**given)).double()
    stir_weights(model, seed=3)
    return model


@pytest.mark.parametrize("fields", FORMS, ids=str)
def test_equal_to_the_twin_values_and_gradients(fields: dict[str, Any]) -> None:
    model, rng = make(**fields), torch.Generator().manual_seed(1)
    source, lengths = torch.randint(11, (3, 6), generator=rng), torch.tensor([6, 2, 0])
    tokens = torch.randint(11, (3, 7), generator=rng)
    mixture = torch.randn(3, 7, 11, dtype=torch.float64, generator=rng)
    logits, _ = model(tokens, model.read(source, lengths=lengths))
    expected = model.head.logits(
        torch.stack(
            [
                hidden_one_by_one(model, source[lane, : lengths[lane]].tolist(), tokens[lane].tolist())
                for lane in range(3)
            ]
        )
    )
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-12)
    weights = list(model.parameters())
    found, slow = (torch.autograd.grad((out * mixture).sum(), weights) for out in (logits, expected))
    for ours, theirs in zip(found, slow, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_equal_to_the_transformer_of_torch(norm: str) -> None:
    model = make(norm=norm, n_layers=3)
    theirs = by_the_library(model)
    source, tokens, lengths = torch.randint(11, (3, 9)), torch.randint(11, (3, 7)), torch.tensor([9, 5, 1])
    padding = torch.zeros(3, 9, dtype=torch.float64).masked_fill(torch.arange(9) >= lengths[:, None], -torch.inf)
    hidden = theirs(
        model.embed_source(source),
        model.embed_source(tokens),  # one table, and positions from 0 on both sides
        tgt_mask=nn.Transformer.generate_square_subsequent_mask(7, dtype=torch.float64),
        src_key_padding_mask=padding,
        memory_key_padding_mask=padding,
    )
    expected = model.head.logits(hidden)
    whole, _ = model(tokens, model.read(source, lengths=lengths))
    torch.testing.assert_close(whole, expected, rtol=0, atol=1e-12)
    model.eval()
    memory, pieces = model.read(source, lengths=lengths), []
    with torch.inference_mode():
        for t in range(7):
            logits, memory = model(tokens[:, t : t + 1], memory)
            pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces, dim=1), expected, rtol=0, atol=1e-12)


def by_the_library(model: EncoderDecoder) -> nn.Transformer:
    c = model.config
    theirs = nn.Transformer(
        c.d_model, c.n_heads, c.n_layers, c.n_layers, c.d_ff, dropout=0.0, batch_first=True,
        norm_first=c.norm == "pre",
    ).double()  # fmt: skip
    if c.norm == "post":
        theirs.encoder.norm = theirs.decoder.norm = None
    pairs: dict[str, Any] = (
        {} if c.norm == "post" else {"encoder.norm.": model.encoder_norm, "decoder.norm.": model.norm}
    )
    for n, layer in enumerate(model.encoder_layers):
        name = f"encoder.layers.{n}."
        pairs |= {
            name + "self_attn.in_proj_": layer.project, name + "self_attn.out_proj.": layer.out,
            name + "linear1.": layer.ff.up, name + "linear2.": layer.ff.down,
            name + "norm1.": layer.attention_norm, name + "norm2.": layer.ff_norm,
        }  # fmt: skip
    state: dict[str, torch.Tensor] = {}
    for n, layer in enumerate(model.layers):
        name = f"decoder.layers.{n}."
        pairs |= {
            name + "self_attn.in_proj_": layer.project, name + "self_attn.out_proj.": layer.out,
            name + "multihead_attn.out_proj.": layer.source_out,
            name + "linear1.": layer.ff.up, name + "linear2.": layer.ff.down,
            name + "norm1.": layer.attention_norm, name + "norm2.": layer.source_norm, name + "norm3.": layer.ff_norm,
        }  # fmt: skip
        for part in ("weight", "bias"):
            both = [getattr(layer.ask, part), getattr(layer.keep, part)]
            state[f"{name}multihead_attn.in_proj_{part}"] = torch.cat(both)
    state |= {name + part: getattr(ours, part) for name, ours in pairs.items() for part in ("weight", "bias")}
    theirs.load_state_dict(state)
    return theirs


def test_sizes_of_the_published_base_model() -> None:
    """65 million parameters (Vaswani et al., 2017, table 3) with a shared vocabulary of 37,000 tokens."""
    with torch.device("meta"):
        base = EncoderDecoder(
            EncoderDecoderConfig(vocab_size=37000, d_model=512, n_layers=6, n_heads=8, d_ff=2048, norm="post")
        )
    attention, ff, norm = 4 * (512 * 512 + 512), 2 * 512 * 2048 + 2048 + 512, 2 * 512
    layers = 6 * (attention + ff + 2 * norm) + 6 * (2 * attention + ff + 3 * norm)
    assert sum(p.numel() for p in base.parameters()) == 37000 * 512 + 37000 + layers
    assert 62e6 < sum(p.numel() for p in base.parameters()) < 66e6


def test_decoding_projects_the_source_no_more() -> None:
    model = make().eval()
    memory = model.read(torch.randint(11, (2, 9)))
    calls: list[int] = []
    for layer in model.layers:
        layer.keep.register_forward_hook(lambda *_: calls.append(1))
    model(torch.randint(11, (2, 3)), memory)
    assert calls == []


def test_encodings_of_positions_are_the_published_ones() -> None:
    found = sinusoids(torch.tensor([[3, 10**9]]), width=6, like=torch.zeros((), dtype=torch.float64))
    for place, position in enumerate((3, 10**9)):
        angle = torch.tensor([position / 10000 ** (2 * i / 6) for i in range(3)], dtype=torch.float64)
        torch.testing.assert_close(found[0, place, 0::2], angle.sin(), rtol=0, atol=1e-6)
        torch.testing.assert_close(found[0, place, 1::2], angle.cos(), rtol=0, atol=1e-6)
