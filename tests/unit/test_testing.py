"""The model under examination is a copy: float64, stirred, without dropout; the model itself stays as it is."""

import copy

import pytest
import torch
from torch import nn

from everlong.errors import ConfigError, ContractViolation
from everlong.models import create_model
from everlong.testing import Subject, verify_contract
from everlong.testing.judge import same_bits, same_gradients, same_numbers
from everlong.testing.subject import MODES, poisoned, without_dropout
from tests.laws.toys import Recurrent


class Forgetful(Recurrent):
    """Has dropout of the ordinary kind."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def step(self, x, hidden, *, position, index):
        return self.dropout(super().step(x, hidden, position=position, index=index))


def test_dropout_is_turned_off_in_the_copy_alone() -> None:
    toy = Forgetful()
    assert without_dropout(toy).dropout.p == 0.0
    assert toy.dropout.p == 0.5
    verify_contract(toy, vocab_size=7)
    model = create_model("transformer-xl", d_model=8, n_heads=2, n_layers=1, d_ff=8, dropout=0.3, attention_dropout=0.2)
    calm = without_dropout(model).config
    assert (calm.dropout, calm.attention_dropout) == (0.0, 0.0)
    assert (model.config.dropout, model.config.attention_dropout) == (0.3, 0.2)


def test_a_subject_is_a_copy() -> None:
    model = create_model("gru", vocab_size=9, d_model=8).train()
    before = copy.deepcopy(model.state_dict())
    subject = Subject.of(model)
    assert (subject.vocab_size, subject.dtype) == (9, torch.float32)
    assert next(subject.model.parameters()).dtype == torch.float64
    assert {mode: subject.in_mode(mode).model.training for mode in MODES} == {
        "training": True,
        "evaluating": False,
        "decoding": False,
    }
    assert model.training
    assert model.dtype == torch.float32
    assert all(torch.equal(leaf, before[name]) for name, leaf in model.state_dict().items())


@pytest.mark.parametrize(("name", "size", "least"), [("length", 9, 10), ("vocab_size", 1, 2), ("vocab_size", 0, 2)])
def test_what_is_too_small_to_judge_by_is_no_fault_of_the_model(name: str, size: int, least: int) -> None:
    sizes = {"vocab_size": 7, name: size}
    with pytest.raises(ConfigError, match=rf"{name}={size} is too small to hear a model on the laws\. Give {least} or"):
        verify_contract(Recurrent(), **sizes)


def test_an_encoder_is_sent_to_its_own_laws() -> None:
    with pytest.raises(ConfigError, match=r"Bert has no init_memory\(lanes\), so it has no memory to be heard on"):
        verify_contract(create_model("bert", vocab_size=9, d_model=8, n_heads=2, n_layers=1))


def test_the_shortest_stream_is_long_enough() -> None:
    verify_contract(Recurrent(), vocab_size=7, length=10)


def test_seeds_draw_other_weights_and_streams() -> None:
    model = create_model("gru", vocab_size=9, d_model=8)
    one, same, other = Subject.of(model, seed=1), Subject.of(model, seed=1), Subject.of(model, seed=2)
    tokens = [subject.tokens(30, rng=subject.rng()) for subject in (one, same, other)]
    assert torch.equal(tokens[0], tokens[1])
    assert not torch.equal(tokens[0], tokens[2])
    logits = [subject(tokens[0])[0] for subject in (one, same, other)]
    assert torch.equal(logits[0], logits[1])
    assert not torch.equal(logits[0], logits[2])


def test_poison_fills_floating_leaves_of_the_lanes_it_is_given() -> None:
    memory = create_model("lstm", d_model=4, n_layers=1).init_memory(3)
    assert poisoned(memory).hidden.isnan().all()
    ill = poisoned(memory, lanes=[1])
    assert ill.cell.isnan().flatten(1).all(dim=1).tolist() == [False, True, False]
    assert torch.equal(ill.position, memory.position)
    assert not memory.cell.isnan().any()


def test_numbers_are_compared_relative_to_the_largest() -> None:
    large = torch.tensor([1e6, 1.0], dtype=torch.float64)
    same_numbers(large + 1e-7, large, what="logits")
    with pytest.raises(ContractViolation, match=r"logits differ by 1\.0e-05 at index \[0\]: 1e\+06 instead of 1e\+06"):
        same_numbers(large + torch.tensor([1e-5, 0]), large, what="logits")
    with pytest.raises(ContractViolation, match=r"logits differ by inf at index \[1\]: nan instead of 1"):
        same_numbers(torch.tensor([1e6, torch.nan], dtype=torch.float64), large, what="logits")
    same_numbers(large[:0], large[:0], what="nothing")


def test_gradients_that_cancel_are_compared_with_what_cancelled() -> None:
    expected = {"a": torch.ones(2), "b": torch.full((2,), 1e-17)}
    same_gradients({"a": torch.ones(2), "b": torch.zeros(2)}, expected, what="read twice")
    with pytest.raises(ContractViolation, match=r"read twice: the gradient of b differs by 1\.0e\+00 of its size"):
        same_gradients({"a": torch.ones(2), "b": torch.full((2,), 1e-3)}, expected, what="read twice")


def test_bits_tell_nan_from_nan_and_minus_zero_from_zero() -> None:
    memory = poisoned(create_model("gru", d_model=4, n_layers=1).init_memory(2))
    same_bits(memory, memory.map(torch.clone), what="a copy")
    zero = create_model("gru", d_model=4, n_layers=1).init_memory(2)
    minus = zero.map(lambda leaf: -leaf if leaf.is_floating_point() else leaf)
    with pytest.raises(ContractViolation, match="turned: 8 of 8 numbers of 'hidden' changed"):
        same_bits(minus, zero, what="turned")
    same_bits(minus, zero, what="no lane", lanes=torch.tensor([False, False]))
