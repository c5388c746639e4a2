import pytest

from everlong.errors import ConfigError
from everlong.models import create_model, describe_model, list_models
from everlong.plan import Predictor, resident
from everlong.plan.ledger import Counts
from everlong.plan.rates import MOST, Rates, fit, timed
from everlong.plan.scaling import layer_samples, weights_at
from everlong.plan.trial import decoding_trial, training_trial
from everlong.train.optim import make_optimizer
from tests.unit.plan.conftest import RATES, predictor_of, setup_of, ticking


def test_counts_of_small_runs_carried_on_are_those_of_the_setup_itself(predictor: Predictor) -> None:
    setup = setup_of()
    found, truth = predictor.forecast(setup), training_trial(setup).counts()
    assert found.step.operations == truth.operations
    assert found.step.parts == truth.parts
    assert found.step.kept == truth.kept
    assert found.step.peak == pytest.approx(truth.peak, rel=0.1)
    assert found.step.calls == pytest.approx(truth.calls, rel=0.1)


def test_cells_are_counted_at_short_chunks(predictor: Predictor) -> None:
    setup = setup_of("gru", d_model=16, n_layers=2, chunk=200)
    found, truth = predictor.forecast(setup), training_trial(setup).counts()
    assert found.step.operations == truth.operations
    assert found.step.calls == pytest.approx(truth.calls, rel=0.01)
    assert found.step.peak == pytest.approx(truth.peak, rel=0.1)


def test_time_is_rates_times_counts(predictor: Predictor) -> None:
    found = predictor.forecast(setup_of())
    assert found.step_seconds == RATES.seconds(found.step)
    assert found.epoch_seconds == pytest.approx(found.step_seconds * 1000 / (4 * 64))
    assert found.token is not None
    assert found.token_seconds == RATES.seconds(found.token)


def test_a_token_is_counted_by_itself(predictor: Predictor) -> None:
    setup = setup_of()
    found = predictor.forecast(setup).token
    assert found is not None
    assert found.operations * 32 == decoding_trial(setup).counts().operations


def test_bytes_that_stay_are_exact() -> None:
    setup = setup_of("transformer-xl", d_model=16, n_layers=2, n_heads=2, d_ff=32, mem_len=8, segment=4)
    model = create_model("transformer-xl", **setup.model.model_dump())
    found = resident(setup)
    assert found.weights == found.gradients == sum(p.nbytes for p in model.parameters())
    assert found.session == model.eval().init_memory(1).nbytes
    assert found.carried == model.train().init_memory(4).nbytes
    optimizer = make_optimizer(model, lr=1e-3, weight_decay=0.1)
    for p in model.parameters():
        p.grad = p.detach().clone()
    optimizer.step()
    assert found.optimizer == sum(leaf.nbytes for state in optimizer.state.values() for leaf in state.values())


def test_the_rates_that_made_some_times_are_found() -> None:
    truth = Rates(call=1e-5, operation=2e-11, byte=3e-10)
    counts = [
        Counts(operations=o, calls=c, moved=m)
        for o, c, m in [(1e9, 50, 1e7), (5e8, 900, 2e7), (3e9, 80, 9e8), (1e8, 10, 1e8)]
    ]
    found = fit(counts, [truth.seconds(one) for one in counts])
    assert found.call == pytest.approx(truth.call)
    assert found.operation == pytest.approx(truth.operation)
    assert found.byte == pytest.approx(truth.byte)


def test_no_rate_is_negative() -> None:
    counts = [Counts(operations=1e9, calls=10), Counts(operations=2e9, calls=11), Counts(operations=4e9, calls=40)]
    found = fit(counts, [1.0, 2.1, 3.0])
    assert min(found.call, found.operation, found.byte) >= 0


def test_runs_take_turns_until_patience_ends() -> None:
    order: list[str] = []
    seconds = timed([lambda: order.append("a"), lambda: order.append("b")], patience=0.0, clock=ticking())
    assert order == ["a", "b"] * 3
    assert seconds == [1.0, 1.0]
    order.clear()
    timed([lambda: order.append("a")], patience=1e9, clock=ticking())
    assert len(order) == MOST


def test_a_polynomial_goes_through_its_samples() -> None:
    weights = weights_at((1, 2, 4), 7)
    assert sum(weight * (3 * x * x - x + 5) for weight, x in zip(weights, (1, 2, 4), strict=True)) == pytest.approx(145)


def test_layers_that_must_not_be_alone_are_counted_together() -> None:
    assert layer_samples(setup_of("reformer", n_layers=6, d_model=16, n_heads=2, d_ff=16)) == (2, 4)
    assert layer_samples(setup_of(n_layers=4)) == (1, 2)
    assert layer_samples(setup_of(n_layers=1)) == (1,)
    windows = setup_of("longformer", n_layers=3, d_model=16, n_heads=2, d_ff=16).changed({"window": (4, 8, 8)})
    assert layer_samples(windows) == (3,)


def test_a_text_without_tokens_is_refused() -> None:
    with pytest.raises(ConfigError, match="length=0 is no length of a text"):
        setup_of(length=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", list_models())
def test_every_architecture_can_be_planned(name: str) -> None:
    small = {"d_model": 16, "n_layers": 2, "n_heads": 2, "d_ff": 16}
    fields = {key: value for key, value in small.items() if key in describe_model(name)[1].model_fields}
    setup = setup_of(name, 40, lanes=2, chunk=16, **fields)
    found = predictor_of(setup).forecast(setup)
    assert (found.token is None) == (setup.kind == "encoder")
    assert found.step.operations > 0
    assert found.memory > found.step.peak > found.step.kept > 0
