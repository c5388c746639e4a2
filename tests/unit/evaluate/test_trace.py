"""Weights over time: those of the slow twins, of the whole sequence read at once, and what all weights are."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from everlong.errors import ConfigError, ShapeError
from everlong.evaluate.trace import require_matrix, trace
from everlong.models import create_model
from everlong.testing.subject import stir_weights
from tests.reference.dnc import Computer
from tests.reference.machine import machine_one_by_one
from tests.reference.mann import Slots
from tests.reference.ntm import Heads

SIZES = {"vocab_size": 7, "d_model": 6, "n_layers": 1, "memory_slots": 5, "slot_size": 3, "n_reads": 2}
REPAIRS = {"deallocate": True, "mask_keys": True, "sharpen_links": True}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("ntm", {}),
    ("ntm", {"n_writes": 3, "n_reads": 1}),
    ("dnc", {}),
    ("dnc", REPAIRS),
    ("mann", {}),
    ("mann", {"n_reads": 3, "controller": "feed-forward"}),
]
TOKENS = torch.tensor([3, 0, 6, 1, 1, 5, 2, 4, 0])

Kept = tuple[Tensor, Tensor, Tensor | None]


def make(name: str, fields: dict[str, Any]) -> Any:
    model = create_model(name, **SIZES | fields).double()
    stir_weights(model, seed=1)
    with torch.no_grad():
        # Gates away from the middle: slots are filled, freed and found again.
        model.interface.weight.mul_(4)
    return model.eval()


def of_ntm(twin: Heads) -> Kept:
    weights = torch.stack(twin.weights)
    return weights[twin.reads :], weights[: twin.reads], None


def of_dnc(twin: Computer) -> Kept:
    return twin.writing[None], torch.stack(twin.reading), twin.usage


def of_mann(twin: Slots) -> Kept:
    return torch.stack(twin.writing), torch.stack(twin.reading), twin.usage


TWINS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Kept]]] = {
    "ntm": (Heads, of_ntm),
    "dnc": (Computer, of_dnc),
    "mann": (Slots, of_mann),
}


@pytest.mark.parametrize(("name", "fields"), CASES, ids=str)
@torch.no_grad()
def test_weights_are_those_of_the_twin(name: str, fields: dict[str, Any]) -> None:
    model = make(name, fields)
    begin, weights_of = TWINS[name]
    twin, kept = begin(model), list[Kept]()

    def access(told: Tensor) -> Tensor:
        read = twin(told)
        kept.append(weights_of(twin))
        return read

    reads = model.config.n_reads * model.config.slot_size
    first = model.first_read if name == "ntm" else torch.zeros(reads).double()
    machine_one_by_one(model, model.embedding(TOKENS), first, access)
    found = trace(model, TOKENS)
    for mine, theirs in zip((found.writes, found.reads, found.usage), zip(*kept, strict=True), strict=True):
        if mine is None:
            assert set(theirs) == {None}
        else:
            torch.testing.assert_close(mine, torch.stack(theirs), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "fields"), CASES, ids=str)
def test_answers_and_last_weights_are_those_of_one_call(name: str, fields: dict[str, Any]) -> None:
    model = make(name, fields)
    with torch.inference_mode():
        logits, memory = model(TOKENS[None])
    found = trace(model, TOKENS)
    torch.testing.assert_close(found.answers, logits[0], rtol=0, atol=1e-12)
    last = {
        "ntm": lambda: torch.cat([found.reads, found.writes], dim=1)[-1] - memory.weights[0],
        "dnc": lambda: torch.cat([found.reads[-1] - memory.reading[0], found.writes[-1] - memory.writing]),
        "mann": lambda: found.reads[-1] - memory.reading[0],
    }[name]()
    assert float(last.abs().max()) < 1e-12


@pytest.mark.parametrize(("name", "fields"), CASES, ids=str)
def test_weights_are_weights(name: str, fields: dict[str, Any]) -> None:
    model = make(name, fields)
    found = trace(model, torch.randint(7, (60,)))
    heads = model.config.n_reads
    # A head of a MANN that writes can empty as many slots as there are heads, each with a weight of up to 1.
    most = {"writes": heads if name == "mann" else 1, "reads": 1}
    for kind, bound in most.items():
        weights = getattr(found, kind)
        assert float(weights.min()) >= 0
        assert float(weights.max()) <= 1 + 1e-9
        assert float(weights.sum(dim=-1).max()) <= bound + 1e-9
    assert found.reads.shape == (60, heads, 5)
    assert found.writes.shape == (60, {"ntm": fields.get("n_writes", 1), "dnc": 1, "mann": heads}[name], 5)
    assert (found.usage is None) == (name == "ntm")


def test_vectors_are_read_in_the_models_precision_without_dropout() -> None:
    model = create_model("dnc", **SIZES | {"vocab_size": 1, "input_size": 3, "output_size": 2, "dropout": 0.9})
    model.double().train()
    vectors = torch.rand(4, 3)
    found = trace(model, vectors)
    assert model.training
    assert found.answers.shape == (4, 2)
    torch.testing.assert_close(found.answers, model.eval()(vectors.double()[None])[0][0].detach())


def test_nothing_cannot_be_read() -> None:
    with pytest.raises(ShapeError, match="hold nothing to read"):
        trace(make("ntm", {}), torch.zeros(0, dtype=torch.int64))


@pytest.mark.parametrize("name", ["lstm", "transformer-xl", "bert"])
def test_a_model_without_a_matrix(name: str) -> None:
    model = create_model(name, d_model=8, n_layers=1, **({} if name == "lstm" else {"n_heads": 2, "d_ff": 8}))
    with pytest.raises(ConfigError, match=f"{name} has no matrix in which it writes and reads, as dnc, mann, ntm have"):
        require_matrix(model)
