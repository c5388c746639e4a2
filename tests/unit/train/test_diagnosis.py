"""What a diagnosis finds, and that it leaves a run as it was."""

import math
from typing import Any

import pytest
import torch

from everlong.checkpoint import newest_good_checkpoint
from everlong.data import chosen
from everlong.data.synthetic import MultiQueryRecall
from everlong.memory import Memory
from everlong.train import train
from everlong.train.diagnosis import ahead, copied_weights, source_gradients, update_ratios
from everlong.train.distribution import World
from everlong.train.gradient_ages import gradient_ages
from everlong.train.stream_loss import StreamLoss
from everlong.train.task import Reader
from everlong.train.tasks import make_task
from everlong.train.time_scales import time_scales
from tests.unit.train.conftest import OWN, SIZES, Bench, figures, settings, tiny
from tests.unit.train.test_stream_loss import WithAux, chunks, whole

DIAGNOSED = ("age_gradient_", "source_gradient_", "update_ratio_", "time_scale_")


def without_diagnosis(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in line.items() if not name.startswith(DIAGNOSED)} for line in lines]


LONG = {"memory_dropout": 0.5, "long_weight": 5.0, "mix": (0.5, 0.1)}


@pytest.mark.parametrize(
    ("architecture", "own"),
    [(name, {"memory_dropout": 0.5}) for name in SIZES if name not in OWN] + [("bert", OWN["bert"]), ("gru", LONG)],
)
def test_a_run_that_is_diagnosed_equals_one_that_is_not(
    bench: Bench, architecture: str, own: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chosen, "STRETCH", 2)
    fields = {"steps": 3, "window": 2, "chunk": 4, "lanes": 2, **own}
    plain, watched = tiny(architecture), tiny(architecture)
    bench.train("plain", settings(**fields), model=plain, measured=True)
    bench.train("watched", settings(**fields, diagnose_every=1), model=watched, measured=True)
    assert watched.weights_digest() == plain.weights_digest()
    found = figures(bench.folder / "watched")
    assert without_diagnosis(found) == figures(bench.folder / "plain")
    assert any(line["source_gradient_targets"] > 0 for line in found)
    states = [newest_good_checkpoint(bench.folder / name) for name in ("plain", "watched")]
    for name in ("model", "optimizer", "lanes", "random"):
        one, two = (state.tensors(name) for state in states if state is not None)
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one)


def test_every_so_many_updates_are_diagnosed_and_a_resumed_run_goes_on_with_it(bench: Bench) -> None:
    bench.train("run", settings(steps=3, diagnose_every=2))
    bench.train("run", settings(steps=4, diagnose_every=2), resume=True)
    lines = figures(bench.folder / "run")
    assert ["age_gradient_1" in line for line in lines] == [False, True, False, True]
    bench.train("run", settings(steps=5), resume=True)
    assert "age_gradient_1" not in figures(bench.folder / "run")[-1]


def test_a_generated_task_is_diagnosed_from_an_empty_memory(bench: Bench) -> None:
    rules = MultiQueryRecall(length=16, pairs=2, symbols=16)
    digests: set[str] = set()
    for every in (0, 1):
        model, out = tiny("lstm", vocab_size=16), bench.folder / f"run-{every}"
        train(model, rules, None, settings(task="multi-query-recall", steps=2, diagnose_every=every), out)
        digests.add(model.weights_digest())
    assert len(digests) == 1
    assert figures(bench.folder / "run-1")[-1]["age_gradient_4"] > 0


@pytest.mark.parametrize("architecture", ["gru", "lstm", "transformer", "ntm"])
def test_the_gradient_by_age_is_that_of_the_memory_there(architecture: str) -> None:
    model = tiny(architecture, dropout=0.0).double()
    (stream,) = chunks(1, time=11)
    found = gradient_ages(model, [stream], model.init_memory(2))
    assert list(found) == [f"age_gradient_{age}" for age in (1, 2, 4, 8, 11)]
    memory: Memory = model(stream.tokens[:, :7], starts=stream.starts[:, :7])[1]
    memory = memory.map(lambda leaf: leaf.detach().requires_grad_() if leaf.is_floating_point() else leaf)
    losses, _, _ = model.token_losses(stream.tokens[:, 7:], stream.targets[:, 7:], memory)
    # Lane 0 has no target at the end.
    losses[1, -1].backward()
    squares = [leaf.grad[1].square().sum() for leaf in memory.flatten().values() if leaf.grad is not None]
    assert found["age_gradient_4"] == pytest.approx(float(torch.stack(squares).sum().sqrt()), rel=1e-9)
    assert found["age_gradient_4"] > 0


def test_chunks_make_no_difference_to_ages_and_documents_end_them() -> None:
    model, parts = tiny("lstm").double(), chunks(3)
    one, many = (gradient_ages(model, part, model.init_memory(2)) for part in ([whole(parts)], parts))
    assert one == pytest.approx(many, rel=1e-9)
    parts[2].starts[:, 1] = True
    cut = gradient_ages(model, parts, model.init_memory(2))
    assert [name for name, size in cut.items() if size > 0] == ["age_gradient_1", "age_gradient_2"]


def test_without_a_target_there_are_no_ages() -> None:
    (part,) = chunks(1)
    part.targets[:] = -100
    assert gradient_ages(tiny(), [part], tiny().init_memory(2)) == {}


def test_sources_are_the_targets_and_the_losses_of_the_memory() -> None:
    model = WithAux(tiny().config.replace(dropout=0.0)).double()
    parts = chunks(2)
    found = source_gradients(StreamLoss(model, precision="float32"), parts, model.init_memory(2))
    assert list(found) == ["source_gradient_targets", "source_gradient_size"]
    assert all(p.grad is None for p in model.parameters())
    memory, total = model.init_memory(2), torch.zeros(())
    for part in parts:
        _, memory, aux = model.token_losses(part.tokens, part.targets, memory, starts=part.starts)
        total = total + aux["size"] / 2
    total.backward()
    norm = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).norm()
    assert found["source_gradient_size"] == pytest.approx(float(norm), rel=1e-9)


def test_update_ratios_are_lengths_of_moves_by_group() -> None:
    model = tiny("transformer")
    before = copied_weights(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("layers.1."):
                parameter.mul_(1.25)
    found = update_ratios(model, before)
    assert found.pop("update_ratio_layers.1") == pytest.approx(0.25, rel=1e-5)
    assert {"update_ratio_layers.0", "update_ratio_embedding"} <= found.keys()
    assert set(found.values()) == {0.0}


@pytest.mark.parametrize(("architecture", "gate"), [("lstm", slice(8, 16)), ("gru", slice(8, 16))])
def test_the_time_scale_of_a_gate_without_inputs_is_that_of_its_bias(architecture: str, gate: slice) -> None:
    model = tiny(architecture, dropout=0.0).double()
    with torch.no_grad():
        for weights in (model.cells.weight_ih_l0, model.cells.weight_hh_l0, model.cells.bias_hh_l0):
            weights[gate] = 0
        model.cells.bias_ih_l0[gate] = math.log(19)
    (stream,) = chunks(1)
    found = time_scales(model, stream, model.init_memory(2))
    assert found == pytest.approx({f"time_scale_q{q}_layer_0": 20.0 for q in (10, 50, 90)}, rel=1e-9)


def test_the_gates_of_a_cell_are_those_of_the_equation() -> None:
    model = tiny("lstm").double()
    (stream,) = chunks(1, lanes=1, time=2)
    _, memory = model(stream.tokens[:, :1])
    cells, x = model.cells, model.embedding(stream.tokens[:, 1])
    gates = x @ cells.weight_ih_l0.t() + memory.hidden[:, 0] @ cells.weight_hh_l0.t() + cells.bias_ih_l0
    forget = torch.sigmoid((gates + cells.bias_hh_l0)[0, 8:16])
    expected = (1 / (1 - forget)).quantile(0.5)
    found = time_scales(model, stream, model.init_memory(1))
    assert found["time_scale_q50_layer_0"] == pytest.approx(expected.item(), rel=1e-9)


def test_controllers_have_time_scales_where_they_are_recurrent_and_transformers_have_none() -> None:
    (stream,) = chunks(1)
    for model, found in (
        (tiny("ntm"), 6),
        (tiny("dnc", controller="feed-forward"), 0),
        (tiny("transformer"), 0),
    ):
        assert len(time_scales(model, stream, model.init_memory(2))) == found


def test_what_is_read_ahead_is_read_again(bench: Bench) -> None:
    task = make_task(tiny(), bench.data, None, settings(), bench.tokenizer)
    reader: Reader[Any] = task.reader(World())
    peeked = ahead(reader, 2)
    assert torch.equal(peeked[0].tokens, next(reader).tokens)
    assert torch.equal(peeked[1].tokens, next(reader).tokens)
