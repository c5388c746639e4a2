"""Terms of a comparison: the same for all, refused where they are not."""

from typing import Any

import pytest

from everlong.compare.terms import Terms, make_terms, split_names, split_seeds
from everlong.errors import ConfigError
from tests.comparisons import PROBE


def terms(models: str = "gru,transformer", seeds: str = "0,1", **changes: Any) -> Terms:
    given: dict[str, Any] = {"steps": 8, "minutes": None, "lanes": 2, "chunk": 16, "threads": 1, "assigned": {}}
    return make_terms(models=split_names(models), seeds=split_seeds(seeds), **{**given, **changes})


def test_turns_go_seed_by_seed() -> None:
    assert [turn.name for turn in terms(probes=[PROBE]).turns()] == [
        "gru-0", "transformer-0", f"gru-0-{PROBE}", f"transformer-0-{PROBE}",
        "gru-1", "transformer-1", f"gru-1-{PROBE}", f"transformer-1-{PROBE}",
    ]  # fmt: skip


def test_all_have_the_same_budget_and_batches_but_for_the_seed() -> None:
    found = terms()
    first, second, third, _ = (found.training_of(turn) for turn in found.turns())
    assert first == second == third.replace(seed=0)
    assert (third.seed, first.steps, first.minutes, first.lanes, first.chunk) == (1, 8, 0.0, 2, 16)
    assert terms(steps=None, minutes=2.0).training.steps == 0


def test_a_probe_has_a_quarter_of_the_budget() -> None:
    found = terms(probes=[PROBE], steps=10)
    probe = found.training_of(found.turns()[-1])
    assert (probe.task, probe.steps, probe.seed) == (PROBE, 3, 1)
    timed = terms(probes=[PROBE], steps=None, minutes=2.0)
    assert timed.training_of(timed.turns()[-1]).minutes == 0.5


def test_a_budget_of_operations_is_one_of_updates_by_what_one_costs() -> None:
    found = terms(steps=None, operations=1000.0, probes=[PROBE])
    first, *_, last = found.turns()
    assert found.training_of(first, operations=300.0).steps == 4
    assert found.training_of(last, operations=300.0).steps == 1
    assert found.training_of(last, operations=10.0).steps == 25
    assert terms(steps=8).training_of(first, operations=300.0).steps == 8


def test_a_plain_field_is_that_of_all_models_that_have_it() -> None:
    found = terms(
        "gru,transformer,transformer-xl",
        assigned={"d_model": 32, "mem_len": 8, "gru.n_layers": 1, "lr": 0.01, "gru.lr": 0.02, f"{PROBE}.pairs": 2},
        probes=[PROBE],
    )
    assert found.fields == {
        "gru": {"d_model": 32, "n_layers": 1},
        "transformer": {"d_model": 32},
        "transformer-xl": {"d_model": 32, "mem_len": 8},
    }
    assert [found.training_of(turn).lr for turn in found.turns()[:3]] == [0.02, 0.01, 0.01]
    assert found.probes[PROBE].model_dump()["pairs"] == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"models": "gru,gruu"}, r"no architecture 'gruu'\. Did you mean 'gru'"),
        ({"models": "bert"}, "bert cannot learn task=lm"),
        ({"models": "gru,lstm,gru"}, r"--models names gru twice\. Name it once"),
        ({"models": " , "}, r"--models names nothing\. Write, for example, --models gru,transformer-xl"),
        ({"seeds": "1,0,1"}, "--seeds names 1 twice"),
        ({"seeds": ""}, "--seeds names nothing"),
        ({"seeds": "0,-1"}, r"--seeds 0,-1: -1 is not a whole number from 0 on"),
        ({"seeds": "5000000000"}, "TrainConfig.seed"),
        ({"steps": None}, r"one budget for every run\. Give --minutes, or --steps, or --operations"),
        ({"minutes": 2.0}, "one budget for every run"),
        ({"operations": 2.0}, "one budget for every run"),
        ({"probes": ["copy"]}, r"there is no probe 'copy'.*Probes are generated tasks of tokens: .*multi-query-recall"),
        ({"probes": [PROBE, PROBE]}, f"--probes names {PROBE} twice"),
        (
            {"assigned": {"mem_len": 8}},
            r"--set mem_len: none of gru, transformer has such a field.*Training fields are",
        ),
        ({"assigned": {"lstm.d_model": 8}}, r"--set lstm.d_model is not a setting of this comparison"),
        ({"assigned": {"gru.chunk": 8}}, r"--set gru.chunk is not a setting of this comparison"),
        ({"assigned": {"vocab_size": 300}}, r"--set vocab_size: none of"),
        ({"assigned": {"steps": 3}}, r"--set steps: none of"),
        ({"assigned": {"d_model": 0}}, r"GRUConfig.d_model = 0 does not fit"),
        ({"assigned": {"lr": -1}}, r"TrainConfig.lr = -1 does not fit"),
        (
            {"models": "gru,longformer", "assigned": {"window": 2}},
            r"'window' may mean longformer.window or train.window",
        ),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        terms(**given)
