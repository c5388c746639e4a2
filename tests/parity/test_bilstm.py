"""The LSTM both ways against `torch.nn.LSTM` on each text alone, and against its one-by-one twin."""

import copy

import pytest
import torch
from torch import Tensor

from everlong.models.bilstm import BiLSTM, BiLSTMConfig
from everlong.testing.subject import stir_weights
from tests.reference.recurrent import lstm_one_by_one

LENGTHS = torch.tensor([9, 4, 0, 1, 7])


def make(n_layers: int) -> BiLSTM:
    model = BiLSTM(BiLSTMConfig(vocab_size=11, d_model=8, n_layers=n_layers)).double()
    stir_weights(model, seed=2)
    return model


def by_the_library(model: BiLSTM, text: Tensor) -> Tensor:
    return model.rnn.cells(model.embedding(text)[:, None])[0][:, 0]


@pytest.mark.parametrize("n_layers", [1, 3])
def test_equal_to_torch_values_and_gradients(n_layers: int) -> None:
    model = make(n_layers)
    tokens = torch.randint(11, (5, 9))
    found = model(tokens, lengths=LENGTHS)
    expected = torch.zeros_like(found)
    for lane, length in enumerate(LENGTHS.tolist()):
        if length:
            expected[lane, :length] = by_the_library(model, tokens[lane, :length])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    weights = [model.embedding.weight, *model.rnn.parameters()]
    mixture = torch.randn_like(found)
    ours, theirs = (torch.autograd.grad((x * mixture).sum(), weights) for x in (found, expected))
    for one, two in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-11)


def test_equal_to_the_twin_both_ways() -> None:
    model = make(1)
    tokens = torch.randint(11, (1, 6))
    x, zero = model.embedding.weight[tokens[0]], torch.zeros(4, dtype=torch.float64)
    names, weights = ("w_ih", "w_hh", "b_ih", "b_hh"), list(model.rnn.parameters())
    forth, back = (dict(zip(names, weights[at : at + 4], strict=True)) for at in (0, 4))
    ahead, behind = lstm_one_by_one(x, zero, zero, forth)[0], lstm_one_by_one(x.flip(0), zero, zero, back)[0].flip(0)
    torch.testing.assert_close(model(tokens)[0], torch.cat([ahead, behind], dim=1), rtol=0, atol=1e-12)


def test_dropout_is_between_layers_and_at_rest_there_is_none() -> None:
    torch.manual_seed(0)
    model = BiLSTM(BiLSTMConfig(vocab_size=11, d_model=8, dropout=0.5)).double()
    tokens = torch.randint(11, (2, 6))
    assert not torch.equal(model(tokens), model(tokens))
    still = copy.deepcopy(model).eval()
    torch.testing.assert_close(still(tokens)[0], by_the_library(still, tokens[0]), rtol=0, atol=1e-12)
