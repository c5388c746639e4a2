"""The verbs of a memory, and which files are refused."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.utils._pytree as pytree
from jaxtyping import Float, Int
from torch import Tensor

from everlong.errors import DamagedFile, MemoryMismatch, RunError
from everlong.memory import FORMAT, Memory, load_memory, memory_type
from everlong.models import create_model
from everlong.storage import write_tensors


@memory_type
class Pair(Memory):
    position: Int[Tensor, "b"]
    state: Float[Tensor, "b s d"]


@memory_type
class Other(Memory):
    position: Int[Tensor, "b"]
    state: Float[Tensor, "b s d"]


def pair(lanes: int = 3, *, slots: int = 2) -> Pair:
    return Pair(position=torch.arange(lanes), state=torch.randn(lanes, slots, 4))


def equal(one: Memory, other: Memory) -> bool:
    mine, theirs = one.flatten(), other.flatten()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_frozen_keyword_only_and_compared_by_identity() -> None:
    memory = pair()
    with pytest.raises(dataclasses.FrozenInstanceError):
        memory.position = torch.zeros(3)  # type: ignore[misc]
    with pytest.raises(TypeError):
        Pair(torch.arange(3), torch.randn(3, 2, 4))  # type: ignore[misc]
    assert memory == memory
    assert memory != pair()


def test_size() -> None:
    memory = pair(5)
    assert memory.lanes == 5
    assert memory.nbytes == 5 * 8 + 5 * 2 * 4 * 4


def test_torch_knows_it_as_a_tree() -> None:
    memory = pair()
    leaves, spec = pytree.tree_flatten(memory)
    assert len(leaves) == 2
    assert equal(pytree.tree_unflatten(leaves, spec), memory)


def test_detach_to_and_map() -> None:
    memory = pair().map(lambda leaf: leaf.requires_grad_() if leaf.is_floating_point() else leaf)
    assert not memory.detach().state.requires_grad
    assert equal(memory.to("cpu"), memory)
    assert memory.to(torch.device("meta")).state.is_meta


def test_select_puts_lanes_in_order_and_repeats_them() -> None:
    memory = pair()
    chosen = memory.select(torch.tensor([2, 0, 2]))
    assert chosen.position.tolist() == [2, 0, 2]
    assert torch.equal(chosen.state, memory.state[[2, 0, 2]])


def test_put_replaces_lanes() -> None:
    memory, guest = pair(), pair(1)
    after = memory.put(torch.tensor([1]), guest)
    assert torch.equal(after.state, torch.stack([memory.state[0], guest.state[0], memory.state[2]]))
    assert after.position.tolist() == [0, 0, 2]
    assert memory.position.tolist() == [0, 1, 2]


def test_where_chooses_by_lane() -> None:
    memory, other = pair(), pair()
    mixed = memory.where(torch.tensor([True, False, True]), other)
    assert torch.equal(mixed.state, torch.stack([memory.state[0], other.state[1], memory.state[2]]))


@pytest.mark.parametrize("other", [pair(slots=5), Other(position=torch.arange(3), state=torch.randn(3, 2, 4))])
def test_memories_of_other_shapes_or_types_are_not_combined(other: Any) -> None:
    message = "a (Pair|Other) of shape .* cannot be combined with a Pair of shape .*one model in one mode"
    with pytest.raises(MemoryMismatch, match=message):
        pair().where(torch.tensor([True, False, True]), other)
    with pytest.raises(MemoryMismatch, match=message):
        pair().put(torch.tensor([0, 1, 2]), other)


def small(name: str = "gru", **fields: Any) -> Any:
    return create_model(name, **{"vocab_size": 11, "d_model": 8, "n_layers": 2, **fields}).eval()


def test_verbs_keep_the_signature(tmp_path: Path) -> None:
    model = small()
    memory = model.init_memory(3)
    everyone = torch.tensor([True, True, True])
    for after in (memory.detach(), memory.to("cpu"), memory.select(torch.tensor([0])), memory.where(everyone, memory)):
        assert after.maker is model
    model(torch.zeros(3, 2, dtype=torch.int64), memory)[1].save(str(tmp_path / "x"))
    assert load_memory(str(tmp_path / "x"), model).maker is model


def test_a_memory_made_by_hand_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(
        MemoryMismatch, match=r"this memory does not know which model made it\. Save one that model.init_memory"
    ):
        pair().save(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_any_number_of_lanes_comes_back(tmp_path: Path) -> None:
    model = small("lstm")
    for lanes in (1, 4):
        _, memory = model(torch.randint(11, (lanes, 5)))
        memory.save(tmp_path / "x")
        found = load_memory(tmp_path / "x", model)
        assert type(found) is type(memory)
        assert equal(found, memory)


def saved(path: Path, model: Any) -> Path:
    model(torch.zeros(2, 3, dtype=torch.int64))[1].save(path)
    return path


def test_a_memory_of_another_architecture_is_refused_by_name(tmp_path: Path) -> None:
    path = saved(tmp_path / "x", small("lstm"))
    with pytest.raises(
        MemoryMismatch, match=r"x is a memory of 'lstm', this model is 'gru'\. Load the model that made it"
    ):
        load_memory(path, small("gru"))


def test_a_memory_of_another_config_names_the_field(tmp_path: Path) -> None:
    path = saved(tmp_path / "x", small(d_model=8))
    with pytest.raises(MemoryMismatch, match=r"x was made with d_model=8, this model has d_model=12\. Load the model"):
        load_memory(path, small(d_model=12))


def test_a_memory_of_other_weights_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(1)
    path = saved(tmp_path / "x", small())
    with pytest.raises(
        MemoryMismatch, match=r"was made by the same architecture with other weights. Load the weights that made it"
    ):
        load_memory(path, small())


def test_a_training_memory_is_refused_while_evaluating(tmp_path: Path) -> None:
    model = small("transformer-xl", n_heads=2, d_ff=8, segment=4, mem_len=4).train()
    path = saved(tmp_path / "x", model)
    assert load_memory(path, model).lanes == 2
    with pytest.raises(
        MemoryMismatch, match=r"but the model needs .*A memory saved while training does not fit an evaluating model"
    ):
        load_memory(path, model.eval())


def test_a_damaged_memory_is_refused(tmp_path: Path) -> None:
    model = small()
    path = saved(tmp_path / "x", model)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DamagedFile, match="truncated"):
        load_memory(path, model)
    path.write_bytes(data[:-3] + b"\x07" + data[-2:])
    with pytest.raises(DamagedFile, match="do not match their checksum"):
        load_memory(path, model)


def header_of(model: Any) -> dict[str, str]:
    return {
        "format": FORMAT,
        "architecture": model.architecture,
        "config": model.config_json(),
        "weights": model.weights_digest(),
    }


def test_another_kind_of_sealed_file_is_no_memory(tmp_path: Path) -> None:
    model = small()
    write_tensors(tmp_path / "x", {"a": torch.zeros(2)}, {"format": "everlong-weights-1"})
    with pytest.raises(
        DamagedFile, match=r"x is not a memory of this version of Everlong. Give a file that memory.save wrote"
    ):
        load_memory(tmp_path / "x", model)
    for leaves in ({"hidden": torch.zeros(1, 2, 8)}, {"position": torch.zeros(1, 1, dtype=torch.int64)}):
        write_tensors(tmp_path / "x", leaves, header_of(model))
        with pytest.raises(DamagedFile, match=r"x holds no lanes. Give a file that memory.save wrote"):
            load_memory(tmp_path / "x", model)


def test_a_config_with_another_set_of_fields_names_the_field(tmp_path: Path) -> None:
    """A file of a later version may know a field that this one does not."""
    model = small()
    header = header_of(model)
    header["config"] = json.dumps({**json.loads(header["config"]), "flavour": 3})
    write_tensors(tmp_path / "x", model.init_memory(1).flatten(), header)
    with pytest.raises(MemoryMismatch, match="was made with flavour=3, this model has flavour=None"):
        load_memory(tmp_path / "x", model)


def test_a_file_that_is_older_than_a_field_was_made_with_its_default(tmp_path: Path) -> None:
    for orthogonal in (False, True):
        model = small("lstm", orthogonal=orthogonal)
        header, path = header_of(model), tmp_path / str(orthogonal)
        older = json.loads(header["config"])
        del older["orthogonal"]
        write_tensors(path, model.init_memory(2).flatten(), {**header, "config": json.dumps(older)})
        if orthogonal:
            with pytest.raises(MemoryMismatch, match="was made with orthogonal=False, this model has orthogonal=True"):
                load_memory(path, model)
        else:
            assert load_memory(path, model).lanes == 2


def test_saving_where_one_may_not_leaves_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"cannot write .*nowhere"):
        small().init_memory(1).save(tmp_path / "nowhere" / "x")
