"""The Compressive Transformer's sizes, its two kinds of memory, and where its own losses are counted."""

from typing import Any

import pytest
import torch
from torch import Tensor

from everlong.errors import ConfigError, MemoryMismatch
from everlong.models import LanguageModel, create_model
from everlong.models.compressive_transformer import CompressiveTransformerConfig
from everlong.testing.subject import stir_weights

SMALL = {"vocab_size": 11, "d_model": 8, "n_layers": 2, "n_heads": 2, "d_ff": 12, "segment": 4, "mem_len": 4}
SIZES = {**SMALL, "cmem_len": 3, "compression_rate": 2}


def make(**fields: Any) -> LanguageModel[Any]:
    model = create_model("compressive-transformer", **{**SIZES, **fields}).double()
    stir_weights(model, seed=0)
    return model


def random_tokens(time: int, *, lanes: int = 2) -> Tensor:
    return torch.randint(11, (lanes, time), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"compression": "identity"},
            r"identity keeps every token, so compression_rate=4 cannot be; give compression_ra",
        ),
        (
            {"mem_len": 100},
            r"tokens that leave when it ends, so mem_len=100 must be segment=256 at least; or give reconstruction=auto",
        ),
        (
            {"compression": "most-used", "mem_len": 0},
            r"most-used needs a memory in which tokens are used; give mem_len=256",
        ),
        (
            {"compression": "most-used", "segment": 255},
            r"segment=255 does not divide into compression_rate=4; the near",
        ),
        (
            {"compression": "most-used", "mem_len": 300},
            r"mem_len=300 does not divide into segment=256; the nearest mem_",
        ),
        (
            {"compression": "pca"},
            r"compression = 'pca' does not fit: Input should be 'max-pool', 'mean-pool', 'conv', ",
        ),
        ({"compression_rate": 0}, r"compression_rate = 0 does not fit: Input should be greater than or equal to 1"),
        ({"cmem_len": 0}, r"cmem_len = 0 does not fit: Input should be greater than or equal to 1"),
        (
            {"reconstruction": "mse"},
            r"reconstruction = 'mse' does not fit: Input should be 'attention', 'auto-encoding'",
        ),
    ],
)
def test_what_cannot_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CompressiveTransformerConfig(**fields)


def test_derived_sizes() -> None:
    config = CompressiveTransformerConfig(segment=4, mem_len=6, cmem_len=3, compression_rate=2, d_model=8, n_layers=3)
    assert (config.capacity, config.grid.slots, config.waiting) == (10, 3 + 4, (1, 8))
    assert config.reach == 3 + 3 * (6 + 2 * 3)
    dilated = config.replace(compression="dilated-conv", compression_rate=4)
    assert (dilated.context, dilated.capacity, dilated.waiting) == (3, 15, (6, 8))
    used = config.replace(compression="most-used", mem_len=8)
    assert (used.capacity, used.grid.slots, used.waiting, used.reach) == (12, 3, (12, 1), None)


def test_a_loss_of_the_memory_needs_weights_to_train() -> None:
    for reconstruction in ("attention", "auto-encoding", "none"):
        assert CompressiveTransformerConfig(reconstruction=reconstruction).own_loss == reconstruction
        assert CompressiveTransformerConfig(reconstruction=reconstruction, compression="max-pool").own_loss == "none"


def test_every_layer_has_a_convolution_of_its_own_that_begins_as_a_mean() -> None:
    model = create_model("compressive-transformer", **SIZES)
    weights = [layer.compressor.encoder.weight for layer in model.layers]
    assert weights[0] is not weights[1]
    for weight in weights:
        assert torch.equal(weight, torch.eye(8).repeat(1, 2) / 2)


def test_hidden_states_in_training_keys_and_values_in_evaluation() -> None:
    model = make()
    shapes = {
        mode: {name: tuple(leaf.shape[2:]) for name, leaf in model.train(mode).init_memory(3).flatten().items()}
        for mode in (True, False)
    }
    assert shapes[True] == {"position": (), "recent": (8, 8), "compressed": (6, 8), "waiting": (1, 8)}
    assert shapes[False] == {"position": (), "recent": (8, 16), "compressed": (6, 16), "waiting": (1, 8)}


def test_a_memory_of_another_kind_or_size_is_refused() -> None:
    model, tokens = make(), random_tokens(2, lanes=1)
    memory = model.eval().init_memory(1)
    with pytest.raises(MemoryMismatch, match=r"this memory holds the keys and values of an evaluating model, training"):
        model.train()(tokens, memory)
    for other in (make(n_layers=3), make(cmem_len=9), make(compression="most-used"), make().float()):
        with pytest.raises(MemoryMismatch, match=r"this compressive-transformer needs a CompressiveTransformerMemory"):
            make().eval()(tokens, other.train().init_memory(1))


def test_training_projects_slots_with_todays_weights() -> None:
    """A change of the key projection changes what old slots say in training; what evaluation keeps cannot change."""
    model, tokens, follow = make(n_layers=1), random_tokens(20), random_tokens(4)
    _, hidden = model.train()(tokens)
    _, projected = model.eval()(tokens)
    with torch.no_grad():
        model.layers[0].project.weight[8:] *= 2
    training, _ = model.train()(follow, hidden)
    adopted, _ = model.eval()(follow, hidden)
    kept, _ = model.eval()(follow, projected)
    torch.testing.assert_close(adopted, training, rtol=0, atol=1e-12)
    assert float((kept - training).detach().abs().max()) > 1e-3


@pytest.mark.parametrize("compression", ["conv", "most-used"])
@pytest.mark.parametrize("lanes", [1, 9])
@pytest.mark.parametrize("time", [1, 3])
def test_few_tokens_and_many_take_different_paths_to_the_same_logits(time: int, lanes: int, compression: str) -> None:
    model = make(compression=compression).eval()
    past, tokens = random_tokens(21, lanes=lanes), random_tokens(time, lanes=lanes)
    few, _ = model(tokens, model(past)[1])
    model.train()
    many, _ = model(tokens, model(past)[1])
    torch.testing.assert_close(few, many, rtol=0, atol=1e-12)


def own_loss(model: LanguageModel[Any], *given: Any, **more: Any) -> tuple[Tensor, Any]:
    _, memory, aux = model.forward_with_aux(*given, **more)
    return aux["reconstruction"].detach(), memory


def test_reconstruction_is_a_mean_over_tokens_wherever_the_stream_is_cut() -> None:
    """Nothing leaves while the first segment is read; after it, every token has as much to say as any other."""
    model, tokens = make().train(), random_tokens(19)
    whole, _ = own_loss(model, tokens)
    alone, memory = [], None
    for t in range(19):
        loss, memory = own_loss(model, tokens[:, t : t + 1], memory)
        alone.append(loss)
    assert [t for t, loss in enumerate(alone) if loss == 0] == [0, 1, 2, 3]
    torch.testing.assert_close(whole, torch.stack(alone[4:]).mean(), rtol=1e-12, atol=0)


def test_auto_encoding_is_a_mean_over_blocks_wherever_the_stream_is_cut() -> None:
    model, tokens = make(reconstruction="auto-encoding", mem_len=2).train(), random_tokens(19)
    whole, _ = own_loss(model, tokens)
    alone, memory = [], None
    for t in range(19):
        loss, memory = own_loss(model, tokens[:, t : t + 1], memory)
        alone.append(loss)
    assert [t for t, loss in enumerate(alone) if loss == 0] == list(range(0, 19, 2))
    torch.testing.assert_close(whole, torch.stack(alone[1::2]).mean(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("reconstruction", ["attention", "auto-encoding"])
def test_padding_and_idle_lanes_have_no_loss_and_documents_do_not_mix(reconstruction: str) -> None:
    model = make(reconstruction=reconstruction, compression="dilated-conv").train()
    tokens = random_tokens(16, lanes=3)
    alone, _ = own_loss(model, tokens[:1])
    lengths = torch.tensor([16, 0, 3 if reconstruction == "attention" else 1])
    padded = torch.cat([tokens, random_tokens(5, lanes=3)], dim=1)
    torch.testing.assert_close(own_loss(model, padded, lengths=lengths)[0], alone, rtol=1e-12, atol=0)
    starts = torch.zeros(1, 32, dtype=torch.bool)
    starts[0, 16] = True
    twice, _ = own_loss(model, torch.cat([tokens[:1], tokens[:1]], dim=1), starts=starts)
    torch.testing.assert_close(twice, alone, rtol=1e-12, atol=0)


@pytest.mark.parametrize("reconstruction", ["attention", "auto-encoding", "none"])
def test_every_weight_of_a_compression_has_a_gradient_even_where_there_is_nothing_to_compress(
    reconstruction: str,
) -> None:
    """Ranks that average gradients wait for all of them."""
    model = make(reconstruction=reconstruction).train()
    losses, _, aux = model.token_losses(random_tokens(1), random_tokens(1))
    (losses.sum() + sum(aux.values())).backward()
    assert all(weight.grad is not None for weight in model.parameters())
    assert own_loss(model, random_tokens(1))[0] == 0


def test_losses_of_the_memory_are_computed_where_something_can_learn_from_them() -> None:
    tokens = random_tokens(16)
    assert not make(compression="mean-pool").train().forward_with_aux(tokens)[2]
    assert make(reconstruction="none").train().forward_with_aux(tokens)[2]["reconstruction"].item() == 0
    model = make().train()
    assert set(model.forward_with_aux(tokens)[2]) == {"reconstruction"}
    with torch.no_grad():
        assert not model.forward_with_aux(tokens)[2]
    assert not model.eval().forward_with_aux(tokens)[2]


def test_use_is_the_attention_of_later_segments_while_a_token_is_remembered() -> None:
    """Two heads deal out a weight of one each; without slots yet, what the own segment does not get is use."""
    model = make(compression="most-used", n_layers=1, mem_len=8).eval()
    _, memory = model(random_tokens(4))
    assert not memory.waiting.any()
    _, memory = model(random_tokens(4), memory)
    use = memory.waiting[:, 0, :, 0]
    assert bool((use[:, -8:-4] > 0).all())
    assert not use[:, -4:].any()
    assert bool((use.sum(dim=1) < 2 * 4).all())
