import pytest

from everlong.errors import ConfigError
from everlong.plan import Predictor
from everlong.plan.advice import Budget, changes, fit_budget
from tests.unit.plan.conftest import setup_of


def test_changes_are_what_the_predictor_says_of_them(predictor: Predictor) -> None:
    setup = setup_of()
    forecast = predictor.forecast(setup)
    found = {change.name: change for change in changes(forecast, predictor.forecast)}
    assert set(found) == {"recompute", "lanes", "chunk", "context", "n_layers", "d_ff", "d_model"}
    halved = found["n_layers"]
    assert (halved.before, halved.after) == (4, 2)
    assert halved.forecast == predictor.forecast(setup_of(n_layers=2))
    assert halved.forecast.epoch_seconds < forecast.epoch_seconds
    assert found["recompute"].forecast.step.kept < forecast.step.kept
    assert found["recompute"].forecast.step.operations > forecast.step.operations
    assert found["context"].forecast.resident.session < forecast.resident.session


def test_the_largest_saving_stands_first(predictor: Predictor) -> None:
    forecast = predictor.forecast(setup_of())
    left = [
        min(c.forecast.epoch_seconds / forecast.epoch_seconds, c.forecast.memory / forecast.memory)
        for c in changes(forecast, predictor.forecast)
    ]
    assert left == sorted(left)


def test_what_fits_stays_as_it_is(predictor: Predictor) -> None:
    assert fit_budget(predictor.forecast(setup_of()), Budget(seconds=1e9, memory=1e12), predictor.forecast) == []


def test_the_first_change_that_fits_is_taken(predictor: Predictor) -> None:
    forecast = predictor.forecast(setup_of())
    less = predictor.forecast(setup_of(recompute=True)).memory
    found = fit_budget(forecast, Budget(memory=less), predictor.forecast)
    assert found is not None
    assert [(c.name, c.after) for c in found] == [("recompute", True)]


def test_changes_add_up_until_they_fit(predictor: Predictor) -> None:
    forecast = predictor.forecast(setup_of())
    budget = Budget(memory=forecast.memory / 5)
    found = fit_budget(forecast, budget, predictor.forecast)
    assert found is not None
    assert len(found) > 1
    assert found[-1].forecast.memory <= budget.memory < found[-2].forecast.memory


def test_a_budget_out_of_reach_is_told(predictor: Predictor) -> None:
    assert fit_budget(predictor.forecast(setup_of()), Budget(memory=100), predictor.forecast) is None


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="a budget of seconds=0 has room for nothing"):
        Budget(seconds=0)
