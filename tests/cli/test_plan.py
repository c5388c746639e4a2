"""``everlong plan``: figures before anything large runs."""

import pytest

from everlong.models import create_model
from tests.cli.support import CLI

SIZES = {"d_model": 16, "n_layers": 2, "n_heads": 2, "d_ff": 16, "context": 8}
WORDS = ["--length", 500, "--lanes", 2, "--chunk", 8, *(w for k, v in SIZES.items() for w in ("--set", f"{k}={v}"))]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No longer than it must take."""
    monkeypatch.setattr("everlong.plan.predictor.TRAINING_SECONDS", 0.0)
    monkeypatch.setattr("everlong.plan.predictor.DECODING_SECONDS", 0.0)


def test_json_has_every_figure(cli: CLI) -> None:
    found = cli("plan", "transformer", *WORDS, "--budget-memory", 0.001, "--json").answer
    model = create_model("transformer", **SIZES)
    assert found["session_bytes"] == model.init_memory(1).nbytes
    assert found["weight_bytes"] == sum(p.nbytes for p in model.parameters())
    assert found["epoch_seconds"] == pytest.approx(found["step_seconds"] * 500 / 16)
    assert found["writing_seconds"] == pytest.approx(found["token_seconds"] * 500)
    assert sum(found["shares"].values()) == pytest.approx(1)
    assert [row["length"] for row in found["by_length"]] == [125, 250, 500, 1000, 2000]
    assert len({row["training_bytes"] for row in found["by_length"]}) == 1, "a stream of any length takes the same"
    assert {"lanes", "chunk", "context", "n_layers", "d_ff"} <= {change["setting"] for change in found["changes"]}
    assert (found["fits"], found["fitting"]) == (False, None)


def test_people_get_tables_and_settings_that_fit(cli: CLI) -> None:
    found = cli("plan", "transformer", *WORDS, "--budget-memory", 0.25)
    assert found.code == 0
    for words in ("operations of a step", "feed-forward", "memory of a session", "recompute False → True"):
        assert words in found.out
    assert "this fits the budget" in found.err


def test_a_budget_out_of_reach_is_told(cli: CLI) -> None:
    found = cli("plan", "transformer", *WORDS, "--budget-seconds", 1e-9)
    assert found.code == 0
    assert "no combination of these settings fits the budget" in found.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nothing", "--length", 10], ["no architecture 'nothing'"]),
        (["gru", "--length", -5], ["length=-5 is no length of a text", "Give 1"]),
        (["gru", "--length", 10, "--set", "mem_len=4"], ["there is no setting 'mem_len'"]),
        (["gru", "--length", 10, "--lanes", 0], ["lanes"]),
        (["gru", "--length", 10, "--budget-memory", 0], ["a budget of memory=0 has room for nothing"]),
    ],
)
def test_bad_input(cli: CLI, words: list[object], told: list[str]) -> None:
    cli("plan", *words).require_refusal(*told)
