"""The Compressive Transformer against its paper: Algorithms 1 and 2, and the tests C1 to C5."""

from typing import Any

import pytest
import torch
from torch import Tensor

from everlong.models import LanguageModel, create_model
from everlong.testing.subject import stir_weights
from tests.reference.compressive_transformer import read

SMALL = {"vocab_size": 13, "d_model": 8, "n_layers": 2, "n_heads": 2, "d_ff": 12, "segment": 4, "mem_len": 4}
SIZES = {**SMALL, "cmem_len": 3, "compression_rate": 2}


def make(name: str = "compressive-transformer", **fields: Any) -> LanguageModel[Any]:
    torch.manual_seed(0)
    model = create_model(name, **{**(SIZES if name == "compressive-transformer" else SMALL), **fields}).double().eval()
    stir_weights(model, seed=1)
    return model


def random_tokens(time: int, *, lanes: int = 2) -> Tensor:
    return torch.randint(13, (lanes, time), generator=torch.Generator().manual_seed(2))


def in_chunks(model: LanguageModel[Any], tokens: Tensor, size: int) -> tuple[Tensor, list[Tensor], Any]:
    logits, losses, memory = [], [], None
    for part in tokens.split(size, dim=1):
        found, memory, aux = model.forward_with_aux(part, memory)
        logits.append(found)
        losses += aux.values()
    return torch.cat(logits, dim=1), losses, memory


ALGORITHM_1 = [
    {},
    {"mem_len": 8, "cmem_len": 8},
    {"mem_len": 6},
    {"norm": "pre", "tied_biases": False},
    {"compression_rate": 4, "cmem_len": 2, "clamp_len": 5},
    {"compression": "max-pool", "mem_len": 0},
    {"compression": "mean-pool", "n_layers": 3},
    {"compression": "identity", "compression_rate": 1},
    {"compression": "dilated-conv", "compression_rate": 4, "mem_len": 8},
    {"compression": "most-used"},
    {"compression": "most-used", "mem_len": 8, "cmem_len": 5, "norm": "pre"},
    {"cutoffs": (4, 8), "div_val": 2},
]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fields", ALGORITHM_1, ids=str)
def test_chunks_equal_to_segments_reproduce_algorithm_1(fields: dict[str, Any], training: bool) -> None:
    model = make(**fields).train(training)
    tokens = random_tokens(30)
    with torch.no_grad():
        expected, _ = read(model, tokens)
        parts, _, _ = in_chunks(model, tokens, 4)
        whole, _ = model(tokens)
    torch.testing.assert_close(parts, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(whole, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("fields", [fields for fields in ALGORITHM_1 if "n_layers" not in fields], ids=str)
def test_gradients_are_those_of_algorithm_1(fields: dict[str, Any]) -> None:
    """Nothing is detached here, and the language model's loss trains the compression, as with backpropagation."""
    model = make(**fields, reconstruction="none").train()
    tokens = random_tokens(22)
    mixture = torch.randn(2, 22, 13, dtype=torch.float64)
    parameters = dict(model.named_parameters())
    found, expected = (
        torch.autograd.grad((logits * mixture).sum(), list(parameters.values()), materialize_grads=True)
        for logits in (in_chunks(model, tokens, 4)[0], read(model, tokens)[0])
    )
    for name, ours, theirs in zip(parameters, found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
        assert bool(ours.any()), name


@pytest.mark.parametrize(
    "fields",
    [{}, {"mem_len": 8}, {"norm": "pre"}, {"compression": "dilated-conv", "compression_rate": 4, "mem_len": 8}],
    ids=str,
)
def test_attention_reconstruction_is_algorithm_2(fields: dict[str, Any]) -> None:
    model = make(**fields).train()
    tokens = random_tokens(24)
    _, losses, _ = in_chunks(model, tokens, 4)
    _, expected = read(model, tokens)
    assert len(losses) == len(expected) == 6
    for ours, theirs in zip(losses, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-14)
    assert losses[0].item() == 0.0 < losses[-1].item()
    parameters = [p for name, p in model.named_parameters() if "compressor" in name]
    found = torch.autograd.grad(torch.stack(losses).sum(), parameters)
    wanted = torch.autograd.grad(torch.stack(expected).sum(), parameters)
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("size", [1, 3, 4, 25])
def test_c1_rate_1_is_transformer_xl_with_one_long_memory(size: int, norm: str, training: bool) -> None:
    ours = make(compression="identity", compression_rate=1, mem_len=6, cmem_len=5, norm=norm).train(training)
    theirs = make("transformer-xl", mem_len=11, norm=norm).train(training)
    theirs.load_state_dict(ours.state_dict())
    tokens = random_tokens(25)
    with torch.no_grad():
        found, _, _ = in_chunks(ours, tokens, size)
        expected, _ = theirs(tokens)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rate", [2, 3, 4])
def test_c2_mean_pool_is_the_mean_of_a_reshape(rate: int) -> None:
    model = make(compression="mean-pool", compression_rate=rate, mem_len=8, n_layers=1).train()
    tokens = random_tokens(23)
    _, memory = model(tokens)
    inputs = model.embed(tokens)
    blocks = inputs[:, : 23 // rate * rate].unflatten(1, (-1, rate)).mean(dim=2)
    kept = min(memory.compressed.shape[2], blocks.shape[1])
    torch.testing.assert_close(memory.compressed[:, 0, -kept:], blocks[:, -kept:], rtol=0, atol=1e-14)


@pytest.mark.parametrize("compression", ["conv", "dilated-conv"])
@pytest.mark.parametrize("reconstruction", ["attention", "auto-encoding"])
def test_c3_each_loss_trains_its_own_part(reconstruction: str, compression: str) -> None:
    model = make(reconstruction=reconstruction, compression=compression, norm="pre").train()
    tokens, follow = random_tokens(16), random_tokens(20)
    _, memory = model(tokens)
    logits, _, aux = model.forward_with_aux(follow, memory)
    named = dict(model.named_parameters())
    of_language = torch.autograd.grad(logits.square().sum(), list(named.values()), allow_unused=True, retain_graph=True)
    of_memory = torch.autograd.grad(aux["reconstruction"], list(named.values()), allow_unused=True)
    for name, language, memory_gradient in zip(named, of_language, of_memory, strict=True):
        ours = "compressor" in name
        assert (language is None or not language.any()) == ours, name
        assert (memory_gradient is not None and bool(memory_gradient.any())) == ours, name


def test_c3_the_past_still_learns_through_a_frozen_compression() -> None:
    """What an undetached slot says depends on the embedding of tokens that can be seen in no other way."""
    model = make(n_layers=1).train()
    tokens = random_tokens(16, lanes=1)
    tokens[0, :2], tokens[0, 2:] = 7, 3
    logits, _ = model(tokens)
    (gradient,) = torch.autograd.grad(logits[:, 12:].square().sum(), model.embedding.weight)
    assert bool(gradient[7].any())


@pytest.mark.parametrize("compression", ["mean-pool", "most-used"])
def test_c4_logits_do_not_depend_on_what_comes_later(compression: str) -> None:
    model = make(compression=compression)
    _, memory = model(random_tokens(30))
    tokens = random_tokens(9)
    logits, _ = model(tokens, memory)
    for at in range(1, 9):
        other = tokens.clone()
        other[:, at:] = (other[:, at:] + 1) % 13
        assert torch.equal(model(other, memory)[0][:, :at], logits[:, :at])


@pytest.mark.parametrize("size", [1, 3, 8])
def test_c5_both_memories_are_first_in_first_out(size: int) -> None:
    """Tokens count up, and the first coordinate of an embedding is its token: what is kept can be read off."""
    model = make(compression="mean-pool", n_layers=1, vocab_size=40, mem_len=4, cmem_len=3).train()
    with torch.no_grad():
        model.embedding.weight[:, 0] = torch.arange(40) / 8**0.5
    _, _, memory = in_chunks(model, torch.arange(40)[None], size)
    assert memory.recent[0, 0, :, 0].tolist() == pytest.approx(range(32, 40))
    # Of blocks 0 to 19, a next token at position 40 sees 15 to 17; 18 and 19 are still seen word for word.
    assert memory.compressed[0, 0, :, 0].tolist()[-5:] == pytest.approx([30.5, 32.5, 34.5, 36.5, 38.5])
    assert memory.waiting.shape == (1, 1, 1, 8)


def test_memories_may_be_longer_at_evaluation_than_in_training() -> None:
    model = make()
    longer = model.with_config(mem_len=8, cmem_len=9)
    tokens = random_tokens(34)
    torch.testing.assert_close(longer(tokens)[0], read(longer, tokens)[0], rtol=0, atol=1e-12)
    assert not torch.allclose(longer(tokens)[0], model(tokens)[0])


@pytest.mark.parametrize("compression", ["conv", "dilated-conv", "most-used"])
def test_an_evaluating_model_takes_over_a_training_memory(compression: str) -> None:
    for norm in ("post", "pre"):
        model = make(norm=norm, compression=compression)
        tokens, follow = random_tokens(21), random_tokens(15)
        expected, _ = model(follow, model(tokens)[1])
        _, memory = model.train()(tokens)
        found, after = model.eval()(follow, memory)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
        layout = {name: leaf.shape for name, leaf in model.init_memory(2).flatten().items()}
        assert {name: leaf.shape for name, leaf in after.flatten().items()} == layout
