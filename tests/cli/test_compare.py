"""``everlong compare`` from the command line: once, again, and refused."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from everlong.cli.progress import brief_turn, line_turns, reporting_turns
from everlong.compare import speeds
from everlong.compare.terms import Turn
from everlong.compare.turns import Standing
from everlong.train import Measurement, Progress
from tests.cli.support import CLI

SIZES = ["d_model=8", "gru.n_layers=1", "gru.lr=0.01", "eval_tokens=64"]
HEADS = ["transformer.n_layers=1", "n_heads=2", "d_ff=8"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speeds, "ENDS", (32, 64))
    monkeypatch.setattr(speeds, "ROUNDS", 2)


def words(book: Path, out: Path, *more: object, models: str = "gru,transformer") -> list[object]:
    """The command that compares tiny models."""
    sizes = [word for size in [*SIZES, *(HEADS if "transformer" in models else [])] for word in ("--set", size)]
    budget = [] if {"--minutes", "--operations"} & {*more} else ["--steps", 4]
    return ["compare", "--data", book, "--models", models, "--out", out, "--lanes", 2, "--chunk", 16, *budget, *sizes,
            *more]  # fmt: skip


def test_a_comparison_leaves_a_page_and_tables_and_goes_on_for_nothing(cli: CLI, book: Path, tmp_path: Path) -> None:
    asked = words(book, tmp_path / "out", "--seeds", "0,1", "--threads", 1, "--json")
    ended = cli(*asked)
    assert ended.code == 0, ended
    assert ended.answer["report"] == str(tmp_path / "out" / "report.html")
    assert [(run["model"], run["seed"]) for run in ended.answer["runs"]] == [
        ("gru", 0), ("transformer", 0), ("gru", 1), ("transformer", 1)
    ]  # fmt: skip
    for line in ("1/4 gru-0 · step", "4/4 transformer-1 · step", "Quality: ", "Small memory: Take gru", "look at "):
        assert line in ended.err
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {
        *("gru-0", "gru-1", "transformer-0", "transformer-1", "figures", "settings.json", "store", "valid"),
        *("report.html", "comparison.csv", "comparison.json"),
    }
    assert {**json.loads((out / "comparison.json").read_text()), "report": ended.answer["report"]} == ended.answer
    assert [row["failure"] for row in csv.DictReader((out / "comparison.csv").read_text().splitlines())] == [""] * 4
    # Each is a run like any other.
    assert cli("eval", out / "gru-1", "--data", book).code == 0
    again = cli(*asked)
    assert again.answer["runs"] == ended.answer["runs"]
    assert "step" not in again.err
    cli(*words(book, out, "--seeds", "0,1", "--threads", 1, "--steps", 5)).require_refusal(
        "was begun with other training.steps: 4, now 5", "Give the same command again"
    )


def test_a_time_is_a_budget(cli: CLI, book: Path, tmp_path: Path) -> None:
    ended = cli(*words(book, tmp_path / "out", "--minutes", 0.01, "--json", models="gru"))
    assert ended.code == 0, ended
    (run,) = ended.answer["runs"]
    assert 0.6 <= run["seconds"] < 5
    assert "Quality: There is nothing to compare with." in ended.err


@pytest.mark.parametrize(("text", "language"), [("从前有一位船长，他有一只鹦鹉。\n", "zh-CN"), ("Ahoy there.\n", "en")])
def test_the_page_speaks_the_language_of_the_text(cli: CLI, tmp_path: Path, text: str, language: str) -> None:
    book = tmp_path / "book.txt"
    book.write_text(text * 60, encoding="utf-8")
    assert cli(*words(book, tmp_path / "out", models="gru")).code == 0
    assert f'<html lang="{language}">' in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert cli(*words(book, tmp_path / "out", "--language", "en", models="gru")).code == 0
    assert '<html lang="en">' in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--models", "gru,bert"], "bert cannot learn task=lm"),
        (["--models", "gru,nothing"], "no architecture 'nothing'"),
        (["--seeds", "0,0"], "--seeds names 0 twice. Name it once."),
        (["--seeds", "one"], "--seeds one: one is not a whole number from 0 on"),
        (["--minutes", 1, "--steps", 3], "a comparison has one budget for every run"),
        (["--operations", "inf"], "operations=inf is no budget. Give a finite number"),
        (["--probes", "copy"], "there is no probe 'copy'"),
        (["--language", "fr"], "--language fr is not known. Give en or zh, or leave it out."),
        (["--set", "d_modell=3"], "Did you mean 'd_model'?"),
        (["--tokenizer", "words"], "--tokenizer words is not known"),
        (["--lanes", 4000], "too few for lanes=4000"),
    ],
)
def test_bad_input_is_refused_and_leaves_nothing(
    cli: CLI, book: Path, tmp_path: Path, more: list[object], said: str
) -> None:
    cli(*words(book, tmp_path / "out", *more)).require_refusal(said)
    assert not (tmp_path / "out").exists()


def test_text_that_is_not_there_or_too_short_is_refused(cli: CLI, tmp_path: Path) -> None:
    cli(*words(tmp_path / "no.txt", tmp_path / "out")).require_refusal("no.txt")
    short = tmp_path / "short.txt"
    short.write_text("Jim was at sea. " * 3)
    (tmp_path / "letter.txt").write_text("x")
    asked = words(short, tmp_path / "out", "--chunk", 4, "--valid", tmp_path / "letter.txt")
    cli(*asked).require_refusal("nothing to predict")
    short.write_text("Jim was here")
    cli(*words(short, tmp_path / "out", "--chunk", 2)).require_refusal(
        "the text is too short to hold any of it out. Give more of it, or name other text with --valid."
    )
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_else_is_refused_and_left_as_it_is(cli: CLI, book: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").touch()
    cli(*words(book, tmp_path / "out")).require_refusal("is not empty and holds no comparison")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]


NOW = Progress(
    step=3, steps=0, loss=1.0, bits=2.0, tokens_per_second=10.0, memory_bytes=0, seconds=30.0, seconds_left=30.0,
    learning_rate=0.1,
)  # fmt: skip


def test_a_terminal_shows_one_bar_for_all(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    at = Standing(number=12, total=40, turn=Turn(model="compressive-transformer", seed=0), seconds_after=180.0)
    assert brief_turn(at, NOW) == "12/40 compressive-transformer-0 · 2.000 bits/byte · 10 tok/s · 3:30 left"
    with reporting_turns() as show:
        show(at, replace(NOW, measured=Measurement(bits=1.5)))
    assert "12/40 compressive-transformer-0 · held-out text 1.5000 bits/byte after step 3" in capsys.readouterr().err


def test_lines_say_which_run_it_is_and_what_is_left_in_all(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 1.0, 2.0, 3.0, 20.0, 20.0])
    show = line_turns(clock=lambda: next(times))
    first = Standing(number=1, total=4, turn=Turn(model="gru", seed=0), seconds_after=180.0)
    for _ in range(3):
        show(first, NOW)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("1/4 gru-0 · step 3 · ")
    assert lines[0].endswith("3:30 left in all")
    last = Standing(number=4, total=4, turn=Turn(model="gru", seed=1, probe="x"), seconds_after=0.0)
    show(last, replace(NOW, measured=Measurement(bits=1.5)))
    assert re.fullmatch(r"4/4 gru-1-x · step 3 .* · held-out text 1\.5000 bits/byte\n", capsys.readouterr().err)
