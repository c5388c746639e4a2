"""Transformer-XL's two kinds of memory, and which of its paths computes what."""

from typing import Any

import pytest
import torch

from everlong.errors import MemoryMismatch
from everlong.models import LanguageModel, create_model
from everlong.testing.subject import stir_weights


def make(**fields: Any) -> LanguageModel[Any]:
    given = {
        "vocab_size": 11,
        "d_model": 8,
        "n_layers": 2,
        "n_heads": 2,
        "d_ff": 12,
        "segment": 4,
        "mem_len": 6,
        **fields,
    }
    model = create_model("transformer-xl", **given).double()
    stir_weights(model, seed=0)
    return model


def test_hidden_states_in_training_keys_and_values_in_evaluation() -> None:
    model = make()
    assert model.train().init_memory(3).state.shape[-1] == 8
    assert model.eval().init_memory(3).state.shape[-1] == 16


def test_training_refuses_keys_and_values() -> None:
    model = make()
    memory = model.eval().init_memory(1)
    message = (
        r"this memory holds the keys and values of an evaluating model, training needs hidden states\. Read the text"
    )
    with pytest.raises(MemoryMismatch, match=message):
        model.train()(torch.zeros(1, 2, dtype=torch.int64), memory)


def test_a_training_memory_of_another_model_is_refused() -> None:
    for other in (make(n_layers=3), make(mem_len=9), make().float()):
        with pytest.raises(MemoryMismatch, match=r"this transformer-xl needs a TransformerXLMemory"):
            make().eval()(torch.zeros(1, 2, dtype=torch.int64), other.train().init_memory(1))


def test_training_projects_what_it_remembers_with_todays_weights() -> None:
    """A change of the key projection changes what old tokens say in training; what evaluation keeps cannot change."""
    model, tokens = make(), torch.randint(11, (1, 9))
    _, hidden = model.train()(tokens)
    _, projected = model.eval()(tokens)
    with torch.no_grad():
        model.layers[1].project.weight[8:] *= 2
    training, _ = model.train()(tokens, hidden)
    adopted, _ = model.eval()(tokens, hidden)
    kept, _ = model.eval()(tokens, projected)
    torch.testing.assert_close(adopted, training, rtol=0, atol=1e-12)
    assert float((kept - training).detach().abs().max()) > 1e-3


@pytest.mark.parametrize("lanes", [1, 3, 9])
@pytest.mark.parametrize("time", [1, 2, 7])
def test_few_tokens_and_many_take_different_paths_to_the_same_logits(lanes: int, time: int) -> None:
    model = make().eval()
    past, tokens = torch.randint(11, (lanes, 9)), torch.randint(11, (lanes, time))
    _, memory = model(past)
    few, _ = model(tokens, memory)
    model.train()
    _, memory = model(past)
    many, _ = model(tokens, memory)
    torch.testing.assert_close(few, many, rtol=0, atol=1e-12)


def test_weights_are_initialised_as_the_authors_do() -> None:
    model = create_model("transformer-xl", d_model=128, n_layers=2, n_heads=4, d_ff=512, cutoffs=(64, 128), div_val=2)
    for name, leaf in model.named_parameters():
        parameter = leaf.detach()
        if name.endswith("bias") and parameter.ndim == 1:
            assert not parameter.any(), name
        if "norm" in name and name.endswith("weight"):
            assert float(parameter.mean()) == pytest.approx(1.0, abs=0.01), name
        if parameter.numel() >= 2048:
            spread = 0.01 if "projections" in name else 0.02
            assert float(parameter.std()) == pytest.approx(spread, rel=0.15), name
