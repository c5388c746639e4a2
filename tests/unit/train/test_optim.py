import torch

from everlong.models import create_model
from everlong.train.optim import decayed_names, make_optimizer, optimizer_tensors, put_optimizer_tensors, set_rate
from tests.unit.train.conftest import tiny


def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    torch.manual_seed(0)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()


def test_only_matrices_decay() -> None:
    model = create_model("transformer-xl", d_model=8, n_layers=1, n_heads=2, d_ff=16)
    decayed = decayed_names(model)
    assert "layers.0.project.weight" in decayed
    assert not {name for name in decayed if "bias" in name or "norm" in name or "embedding" in name}
    assert {name for name in decayed_names(tiny("gru")) if "bias" in name} == set()


def test_every_parameter_is_stepped_once() -> None:
    model = tiny("transformer")
    optimizer = make_optimizer(model, lr=0.1, weight_decay=0.5)
    stepped = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(stepped) == sorted(id(p) for p in model.parameters())


def test_the_rate_is_that_of_every_group() -> None:
    optimizer = make_optimizer(tiny(), lr=0.1, weight_decay=0.5)
    set_rate(optimizer, 0.03)
    assert {group["lr"] for group in optimizer.param_groups} == {0.03}


def test_a_new_optimiser_has_no_tensors() -> None:
    model = tiny()
    optimizer = make_optimizer(model, lr=0.1, weight_decay=0.5)
    assert optimizer_tensors(model, optimizer) == {}
    put_optimizer_tensors(model, optimizer, {})
    assert not optimizer.state


def test_state_goes_through_tensors_without_a_trace() -> None:
    models = [tiny("transformer"), tiny("transformer")]
    first, second = (make_optimizer(model, lr=0.1, weight_decay=0.5) for model in models)
    step(models[0], first)
    tensors = optimizer_tensors(models[0], first)
    assert {name.rpartition("/")[2] for name in tensors} == {"step", "exp_avg", "exp_avg_sq"}
    models[1].load_state_dict(models[0].state_dict())
    put_optimizer_tensors(models[1], second, tensors)
    step(models[0], first)
    step(models[1], second)
    assert models[0].weights_digest() == models[1].weights_digest()
    assert [g["weight_decay"] for g in second.param_groups] == [0.5, 0.0]
