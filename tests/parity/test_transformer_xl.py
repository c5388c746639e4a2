"""Transformer-XL against its paper: parameter counts, the authors' computation, and the tests T1 to T6."""

from typing import Any

import pytest
import torch
from torch import Tensor

from everlong.models import LanguageModel, create_model
from everlong.testing.subject import stir_weights
from tests.reference.attention import relative_shift_one_by_one
from tests.reference.transformer_xl import mask_of, read, relative_shift

SMALL = {"vocab_size": 13, "d_model": 8, "n_layers": 2, "n_heads": 2, "d_ff": 12, "segment": 4, "mem_len": 6}


def make(**fields: Any) -> LanguageModel[Any]:
    torch.manual_seed(0)
    model = create_model("transformer-xl", **{**SMALL, **fields}).double().eval()
    stir_weights(model, seed=1)
    return model


def random_tokens(time: int, *, lanes: int = 2) -> Tensor:
    return torch.randint(SMALL["vocab_size"], (lanes, time), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(
    ("count", "fields"),
    [
        (41_055_436, {"vocab_size": 204, "d_model": 512, "n_layers": 12, "n_heads": 8, "d_ff": 2048}),
        (277_231_820, {"vocab_size": 204, "d_model": 1024, "n_layers": 24, "n_heads": 8, "d_ff": 3072}),
        (
            151_107_538,
            {
                "vocab_size": 267_735,
                "d_model": 410,
                "n_layers": 16,
                "n_heads": 10,
                "d_ff": 2100,
                "cutoffs": (20_000, 40_000, 200_000),
                "div_val": 1,
            },
        ),
    ],
    ids=["enwik8, 12 layers", "enwik8, 24 layers", "WikiText-103, base"],
)
def test_t5_parameter_counts_are_the_papers(count: int, fields: dict[str, Any]) -> None:
    with torch.device("meta"):
        model = create_model("transformer-xl", **fields)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


@pytest.mark.parametrize("time", [1, 2, 5])
@pytest.mark.parametrize("memory", [0, 1, 6])
def test_t1_relative_shift_is_the_double_loop(time: int, memory: int) -> None:
    scores = torch.randn(time, memory + time, dtype=torch.float64)
    shifted = relative_shift(scores[:, :, None, None])[:, :, 0, 0]
    expected = relative_shift_one_by_one(scores, memory=memory)
    causal = expected.isfinite()
    assert torch.equal(shifted[causal], expected[causal])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"mem_len": 4},
        {"mem_len": 0},
        {"mem_len": 9, "n_layers": 3},
        {"norm": "pre"},
        {"tied_biases": False},
        {"clamp_len": 3},
        {"same_length": True},
        {"same_length": True, "mem_len": 3, "norm": "pre", "tied_biases": False},
        {"cutoffs": (4, 8)},
        {"cutoffs": (4, 8), "div_val": 2, "norm": "pre"},
    ],
    ids=str,
)
def test_chunks_equal_to_segments_reproduce_the_authors_computation(fields: dict[str, Any], training: bool) -> None:
    model = make(**fields).train(training)
    tokens = random_tokens(22)
    expected = read(model, tokens, segment=4)
    pieces, memory = [], None
    for at in range(0, 22, 4):
        logits, memory = model(tokens[:, at : at + 4], memory)
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces, dim=1), expected, rtol=0, atol=1e-12)
    whole, _ = model(tokens)
    torch.testing.assert_close(whole, expected, rtol=0, atol=1e-12)


def test_gradients_through_one_segment_are_the_authors() -> None:
    model = make().train()
    tokens = random_tokens(12)
    mixture = torch.randn(2, 12, 13, dtype=torch.float64)
    expected = torch.autograd.grad((read(model, tokens, segment=4) * mixture).sum(), list(model.parameters()))
    loss, memory = torch.zeros((), dtype=torch.float64), None
    for at in range(0, 12, 4):
        logits, memory = model(tokens[:, at : at + 4], memory and memory.detach())
        loss = loss + (logits * mixture[:, at : at + 4]).sum()
    for found, wanted in zip(torch.autograd.grad(loss, list(model.parameters())), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("segment", [1, 3, 5])
def test_t2_segments_with_enough_memory_equal_one_forward(segment: int) -> None:
    tokens = random_tokens(15)
    whole = read(make(segment=15, mem_len=15), tokens, segment=15)
    parts = read(make(segment=15, mem_len=15), tokens, segment=segment)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-12)
    ours, _ = make(segment=segment, mem_len=15)(tokens)
    torch.testing.assert_close(ours, whole, rtol=0, atol=1e-12)


def test_t2_fails_as_soon_as_the_memory_is_too_short() -> None:
    tokens = random_tokens(15)
    whole, _ = make(segment=15, mem_len=0)(tokens)
    short, _ = make(segment=5, mem_len=4)(tokens)
    gap = (short - whole).abs().amax(dim=(0, 2))
    assert bool((gap[:5] < 1e-12).all())
    assert bool((gap[9:] > 1e-6).all())


@pytest.mark.parametrize(("memory", "counts"), [(6, [6, 6, 6, 6]), (3, [4, 5, 6, 6]), (0, [1, 2, 3, 4])])
def test_t6_same_length_counts(memory: int, counts: list[int]) -> None:
    hidden = mask_of(4, memory, mem_len=6, same_length=True)
    assert (~hidden).sum(dim=1).tolist() == counts
    assert (~mask_of(4, 6, mem_len=6, same_length=False)).sum(dim=1).tolist() == [7, 8, 9, 10]


def influence(model: LanguageModel[Any], tokens: Tensor) -> Tensor:
    """``[t, s]``: whether the logits of token `t` depend on the embedding of token `s`, by gradients."""
    vectors: list[Tensor] = []

    def catch(_module: object, _given: object, out: Tensor) -> Tensor:
        vectors.append(out.detach().requires_grad_())
        return vectors[-1]

    handle = model.embedding.register_forward_hook(catch)
    logits, _ = model(tokens)
    handle.remove()
    mixture = torch.randn(logits.shape[2], dtype=logits.dtype)
    rows = [torch.autograd.grad(logits[0, t] @ mixture, vectors, retain_graph=True)[0] for t in range(logits.shape[1])]
    return torch.stack([row[0].abs().amax(dim=-1) > 0 for row in rows])


def farthest(seen: Tensor, t: int) -> int:
    return t - int(seen[t].nonzero()[0, 0])


@pytest.mark.parametrize("segments", [1, 2])
@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_t3_receptive_field_at_each_offset_of_the_segment(n_layers: int, segments: int) -> None:
    """With a memory of whole segments, offset `p` sees back ``n_layers * mem_len + p`` tokens and no farther."""
    model = make(n_layers=n_layers, mem_len=4 * segments)
    seen = influence(model, random_tokens(44, lanes=1))
    for t in range(n_layers * 4 * segments + 4, 44):
        assert farthest(seen, t) == n_layers * 4 * segments + t % 4


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_t3_same_length_sees_one_less_than_the_memory_a_layer(n_layers: int) -> None:
    seen = influence(make(n_layers=n_layers, mem_len=5, same_length=True), random_tokens(30, lanes=1))
    assert {farthest(seen, t) for t in range(n_layers * 4, 30)} == {n_layers * 4}


@pytest.mark.parametrize("training", [True, False])
def test_t4_no_gradient_reaches_a_segment_whose_memory_was_detached(training: bool) -> None:
    model = make().train(training)
    tokens = random_tokens(4)
    for cut in (True, False):
        vectors: list[Tensor] = []
        handle = model.embedding.register_forward_hook(lambda _m, _g, out, kept=vectors: kept.append(out))
        _, memory = model(tokens)
        logits, _ = model(tokens, memory.detach() if cut else memory)
        handle.remove()
        (gradient,) = torch.autograd.grad(logits.square().sum(), vectors[:1], allow_unused=True)
        assert (gradient is None) == cut
        assert cut or bool(gradient.any())


def test_memory_may_be_longer_at_evaluation_than_in_training() -> None:
    model = make(mem_len=4)
    longer = model.with_config(mem_len=12)
    tokens = random_tokens(24)
    torch.testing.assert_close(longer(tokens)[0], read(longer, tokens, segment=4), rtol=0, atol=1e-12)
    assert not torch.allclose(longer(tokens)[0], model(tokens)[0])


def test_an_evaluating_model_takes_over_a_training_memory() -> None:
    for norm in ("post", "pre"):
        model = make(norm=norm)
        tokens, follow = random_tokens(11), random_tokens(5)
        expected, _ = model(follow, model(tokens)[1])
        _, memory = model.train()(tokens)
        found, after = model.eval()(follow, memory)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
        assert after.state.shape == model.init_memory(2).state.shape
