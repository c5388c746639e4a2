"""What every encoder-decoder does the same: reading, losses in chunks, memories of one width, refusals."""

from typing import Any

import pytest
import torch

from everlong.errors import MemoryMismatch, ShapeError
from everlong.memory import load_memory
from everlong.models import Seq2Seq, create_model, list_models
from everlong.testing.subject import stir_weights

any_model = pytest.mark.parametrize("name", list_models("seq2seq"))


def make(name: str, **fields: Any) -> Seq2Seq[Any]:
    model = create_model(name, **{"vocab_size": 11, "d_model": 8, "n_layers": 2, **fields}).eval()
    stir_weights(model, seed=0)
    return model


def some(*shape: int) -> torch.Tensor:
    return torch.randint(11, shape)


@any_model
def test_what_a_source_adds_to_a_memory_is_known_before_it_is_read(name: str) -> None:
    model = make(name)
    empty, one, ten = (model.init_memory(1, source_slots=slots).nbytes for slots in (0, 1, 10))
    assert empty < one
    assert ten - empty == 10 * (one - empty)
    memory = model.read(some(1, 10))
    assert memory.nbytes == ten
    assert model(some(1, 7), memory)[1].nbytes == ten
    assert memory.source_slots == 10


@any_model
def test_losses_of_a_target_in_chunks_are_those_of_the_whole(name: str) -> None:
    model, source, tokens, targets = make(name), some(2, 6), some(2, 9), some(2, 9)
    whole, _, _ = model.token_losses(tokens, targets, model.read(source))
    memory, parts = model.read(source), []
    for at in (0, 4):
        part, memory, _ = model.token_losses(tokens[:, at : at + 5][:, : 4 + at], targets[:, at : at + 4 + at], memory)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=0, atol=1e-5)
    logits, _ = model(tokens, model.read(source))
    expected = -logits.log_softmax(dim=-1).gather(-1, targets[..., None])[..., 0]
    torch.testing.assert_close(whole, expected, rtol=0, atol=1e-5)


@any_model
@pytest.mark.parametrize(
    ("source", "lengths", "message"),
    [
        (torch.zeros(2, 3, dtype=torch.int32), None, r"tokens must be int64 of shape \[lanes, time\], got torch.int32"),
        (torch.zeros(2, 0, dtype=torch.int64), None, r"tokens of shape \[2, 0\] hold nothing to read"),
        (torch.zeros(2, 3, dtype=torch.int64), torch.tensor([4, 1]), r"lengths must lie between 0 and the chunk's 3"),
        (torch.full((2, 3), 11), None, r"token 11 is outside the vocabulary of 11"),
    ],
)
def test_sources_that_are_none(name: str, source: torch.Tensor, lengths: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        make(name).read(source, lengths=lengths)


@any_model
def test_padding_of_a_source_may_hold_anything(name: str) -> None:
    model, source = make(name), some(2, 5)
    source[1, 3:] = -100
    memory = model.read(source, lengths=torch.tensor([5, 3]))
    assert bool(model(some(2, 3), memory)[0].isfinite().all())


@any_model
def test_memories_of_sources_that_differ_in_width_are_not_combined(name: str) -> None:
    model = make(name)
    wide, narrow = model.read(some(2, 5)), model.read(some(1, 3))
    message = (
        r"a memory with 3 source slots cannot be combined with one that has 5\. "
        r"Read both sources padded to one width: model\.read\(source, lengths=\.\.\.\)"
    )
    with pytest.raises(MemoryMismatch, match=message):
        wide.put(torch.tensor([0]), narrow)
    padded = model.read(some(1, 5), lengths=torch.tensor([3]))
    assert wide.put(torch.tensor([0]), padded).source_length.tolist() == [3, 5]


@any_model
def test_a_memory_of_another_model_is_refused(name: str, tmp_path: Any) -> None:
    model, tokens = make(name), some(2, 3)
    other = make(name, d_model=16)
    with pytest.raises(MemoryMismatch, match=rf"this {name} needs a \w+ with position int64"):
        model(tokens, other.read(some(2, 5)))
    memory = model.read(some(2, 5))
    mixed = {**memory.flatten(), "source_length": memory.source_length.int()}
    with pytest.raises(MemoryMismatch, match=rf"this {name} needs a \w+ with .*source_length int64"):
        model(tokens, type(memory)(**mixed))
    assert list(type(memory).layout_of({"position": memory.position})) == ["position"]
    memory.save(tmp_path / "memory")
    with pytest.raises(MemoryMismatch, match=r"was made with d_model=8, this model has d_model=16"):
        load_memory(tmp_path / "memory", other)
