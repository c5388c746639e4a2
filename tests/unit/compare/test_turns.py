"""Runs in their turns: stopped and gone on with, failed, refused."""

import math
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from everlong.compare import turns
from everlong.compare.figures import RunFigures
from everlong.compare.terms import Terms, make_terms
from everlong.compare.turns import Standing, Texts, agree, run_turns, withdraw
from everlong.data import ByteTokenizer, Document, TokenStore
from everlong.errors import DamagedFile, Diverged, RunError
from everlong.evaluate import Evaluation, evaluate
from everlong.train import Progress
from tests.comparisons import PROBE

SMALL = {
    "d_model": 8, "gru.n_layers": 1, "transformer.n_layers": 1, "n_heads": 2, "d_ff": 8,
    "eval_tokens": 64, "eval_every": 2, "save_every": 2,
}  # fmt: skip
STORY = "Jim said the ship was at sea. The parrot said: pieces of eight! " * 8


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Texts:
    home, made = tmp_path_factory.mktemp("texts"), ByteTokenizer()
    read = [Document(str(n), STORY) for n in range(2)]
    return Texts(
        train=TokenStore.build(read, made, home / "store"),
        valid=TokenStore.build([Document("a", STORY[:200]), Document("b", STORY[40:200])], made, home / "valid"),
        tokenizer=made,
    )


def terms(**changes: Any) -> Terms:
    given: dict[str, Any] = {
        "models": ["gru", "transformer"], "seeds": [0, 1], "steps": 6, "minutes": None, "lanes": 2, "chunk": 16,
        "threads": 1, "assigned": SMALL,
    }  # fmt: skip
    return make_terms(**{**given, **changes})


def ignore(at: Standing, now: Progress) -> None:
    del at, now


def begun(folder: Path, given: Terms) -> Path:
    agree(given.to_dict(), folder)
    return folder


def without_times(runs: list[RunFigures] | None) -> list[RunFigures]:
    assert runs is not None
    still = [moment.replace(seconds=0.0) for run in runs for moment in run.curve]
    return [run.replace(seconds=0.0, tokens_per_second=0.0, curve=tuple(still)) for run in runs]


def test_a_killed_comparison_goes_on_where_it_stopped(
    texts: Texts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = terms()
    whole = run_turns(given, texts, begun(tmp_path / "whole", given), report=ignore)

    def kill(at: Standing, now: Progress) -> None:
        if (at.number, now.step) == (2, 5):
            raise KeyboardInterrupt

    killed = begun(tmp_path / "killed", given)
    with pytest.raises(KeyboardInterrupt):
        run_turns(given, texts, killed, report=kill)
    seen: list[tuple[str, int]] = []
    again = run_turns(given, texts, killed, report=lambda at, now: seen.append((at.turn.name, now.step)))
    assert seen[:2] == [("transformer-0", 5), ("transformer-0", 6)]
    assert {name for name, _ in seen} == {"transformer-0", "gru-1", "transformer-1"}
    assert without_times(again) == without_times(whole)
    # Nothing is left to do.
    monkeypatch.setattr(turns, "train", lambda *_, **__: pytest.fail("trained again"))
    assert run_turns(given, texts, killed, report=ignore) == again


def test_a_comparison_killed_as_soon_as_its_terms_were_noted_goes_on(texts: Texts, tmp_path: Path) -> None:
    given = terms(models=["gru"], seeds=[0], steps=1, assigned={"d_model": 8, "eval_tokens": 64})
    agree(given.to_dict(), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["settings.json"]
    assert not agree(given.to_dict(), tmp_path / "out")
    assert len(run_turns(given, texts, tmp_path / "out", report=ignore) or []) == 1


def test_ctrl_c_ends_the_comparison_and_no_figures_are_kept(texts: Texts, tmp_path: Path) -> None:
    given = terms()

    def stop(at: Standing, now: Progress) -> None:
        del at
        if now.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    home = begun(tmp_path / "out", given)
    assert run_turns(given, texts, home, report=stop) is None
    assert list((home / "figures").iterdir()) == []
    assert run_turns(given, texts, home, report=ignore) is not None


def test_models_of_a_seed_learn_from_the_same_and_seeds_differ(texts: Texts, tmp_path: Path) -> None:
    given = terms(models=["gru"], assigned={"d_model": 8, "eval_tokens": 64})
    first, second = run_turns(given, texts, begun(tmp_path / "out", given), report=ignore) or []
    assert first.text
    assert second.text
    assert first.text.carried != second.text.carried
    assert (first.steps, first.tokens, len(first.curve)) == (6, 6 * 2 * 16, 6)
    assert first.curve[-1].tokens == 6 * 2 * 16
    assert first.curve[-1].operations == first.operations > 0
    assert first.text.other is not None
    assert sum(place.n_bytes for place in first.text.places) == first.text.n_bytes == 200 + 160 - 2


def test_a_budget_of_operations_gives_the_cheaper_model_more_updates(texts: Texts, tmp_path: Path) -> None:
    given = terms(seeds=[0], steps=None, operations=3e6)
    gru, transformer = run_turns(given, texts, begun(tmp_path / "out", given), report=ignore) or []
    for found in (gru, transformer):
        each = found.operations / found.steps
        assert found.operations - each < 3e6 <= found.operations
    assert gru.steps != transformer.steps


def test_a_run_that_diverges_is_noted_and_the_others_go_on(
    texts: Texts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = turns.train

    def diverge(model: Any, *given: Any, **named: Any) -> Any:
        if model.architecture == "gru":
            raise Diverged("the loss is not a finite number at step 3. The last checkpoint is kept.")
        return real(model, *given, **named)

    monkeypatch.setattr(turns, "train", diverge)
    given = terms()
    home = begun(tmp_path / "out", given)
    found = run_turns(given, texts, home, report=ignore)
    assert found is not None
    assert [(run.model, run.failure) for run in found] == [
        ("gru", "the loss is not a finite number at step 3"), ("transformer", "")
    ] * 2  # fmt: skip
    # It is not tried again.
    monkeypatch.setattr(turns, "train", lambda *_, **__: pytest.fail("trained again"))
    assert run_turns(given, texts, home, report=ignore) == found


def test_a_model_that_really_diverges(texts: Texts, tmp_path: Path) -> None:
    given = terms(models=["gru"], seeds=[0], assigned={"d_model": 8, "lr": 1e30, "clip": 0, "warmup": 0})
    (found,) = run_turns(given, texts, begun(tmp_path / "out", given), report=ignore) or []
    assert "not a finite number" in found.failure
    assert found.text is None


@pytest.mark.parametrize("reading", ["carried", "reset", "other"])
def test_a_reading_that_costs_no_finite_number_is_a_failure(
    texts: Texts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reading: str
) -> None:
    def measure(*given: Any, **named: Any) -> Evaluation:
        found = evaluate(*given, **named)
        return replace(found, total=replace(found.total, **{reading: math.inf}))

    monkeypatch.setattr(turns, "evaluate", measure)
    given = terms(models=["gru"], seeds=[0], assigned={"d_model": 8, "eval_tokens": 64})
    (found,) = run_turns(given, texts, begun(tmp_path / "out", given), report=ignore) or []
    assert found.failure == "what the held-out text costs is not a finite number"
    assert found.text is None


def test_a_run_in_use_is_no_failure_of_the_model(texts: Texts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: Any, **__: Any) -> Any:
        raise RunError("the folder is in use by process 1. Wait for it to end.")

    monkeypatch.setattr(turns, "train", busy)
    given = terms()
    with pytest.raises(RunError, match="in use by process 1"):
        run_turns(given, texts, begun(tmp_path / "out", given), report=ignore)


def test_probes_are_trained_and_measured_by_distance(texts: Texts, tmp_path: Path) -> None:
    given = terms(models=["gru"], seeds=[0], probes=[PROBE], assigned={"d_model": 8, f"{PROBE}.symbols": 32})
    _, probe = run_turns(given, texts, begun(tmp_path / "out", given), report=ignore) or []
    assert probe.probed
    assert (probe.probe, probe.steps, probe.text, probe.curve) == (PROBE, 2, None, ())
    assert set(probe.probed.by_mark) <= {2**n for n in range(8)}
    assert 0 <= probe.probed.accuracy <= 1


def test_terms_are_noted_once_and_others_refused(tmp_path: Path) -> None:
    home = tmp_path / "out"
    assert agree(terms().to_dict(), home)
    assert not agree(terms().to_dict(), home)
    for changes, words in [
        ({"steps": 7}, r"begun with other training\.steps: 6, now 7\. Give the same command again"),
        ({"models": ["transformer", "gru"]}, r"other models: \['gru', 'transformer'\], now \['transformer', 'gru'\]"),
        ({"seeds": [0, 1, 2]}, r"begun with other seeds: \[0, 1\], now \[0, 1, 2\]"),
        ({"assigned": {**SMALL, "gru.n_layers": 2}}, r"other fields\.gru\.n_layers: 1, now 2"),
    ]:
        with pytest.raises(RunError, match=words):
            agree(terms(**changes).to_dict(), home)
    path = str(tmp_path / ("long" * 30))
    agree({**terms().to_dict(), "data": [path]}, tmp_path / "other")
    with pytest.raises(RunError, match=r"other data\. Give"):
        agree({**terms().to_dict(), "data": [path + "x"]}, tmp_path / "other")


def test_other_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(RunError, match=r"is not empty and holds no comparison\. Choose a new folder"):
        agree(terms().to_dict(), tmp_path)
    with pytest.raises(RunError, match="is a file, a comparison needs a folder"):
        agree(terms().to_dict(), tmp_path / "notes.txt")
    agree(terms().to_dict(), tmp_path / "out")
    (tmp_path / "out" / "settings.json").write_text("{}")
    with pytest.raises(DamagedFile):
        agree(terms().to_dict(), tmp_path / "out")


def test_terms_can_be_withdrawn(tmp_path: Path) -> None:
    agree(terms().to_dict(), tmp_path / "out")
    withdraw(tmp_path / "out")
    assert not (tmp_path / "out").exists()
