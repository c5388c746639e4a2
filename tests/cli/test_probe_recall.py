"""``everlong probe`` of generated tasks of tokens: runs that have learned one, and models beside their controls."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from everlong.checkpoint import list_checkpoints
from everlong.cli import controls, main
from everlong.cli.contestants import STANDARD, changes_for, contestants
from everlong.data.synthetic import RULES, Copy, TokenRules
from everlong.errors import ConfigError
from everlong.models.transformer import TransformerConfig
from tests.cli.support import CLI, Ending

NAMED = ["--task", "multi-query-recall"]
TASK = ["--set", "length=16", "--set", "pairs=2", "--set", "symbols=16"]
TINY = [
    "--set",
    "d_model=8",
    "--set",
    "n_layers=2",
    "--set",
    "steps=2",
    "--set",
    "lanes=2",
    "--set",
    "eval_sequences=2",
]
ROWS = ["length 16, pairs 2", "length 32, pairs 4", "length 64, pairs 7"]


@pytest.fixture(scope="module")
def learned_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "recall"
    with pytest.raises(SystemExit) as end:
        main([*["train", "gru", "--task", "multi-query-recall", "--out"], str(out), *TASK, *TINY])
    assert end.value.code in (0, None)
    return out


@pytest.fixture
def learned(learned_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(learned_once, tmp_path / "run"))


@pytest.fixture(scope="module")
def probed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("probe") / "all"
    words = ["probe", "gru", *NAMED, "--minutes", "1", "--seeds", "0,3", "--sequences", "4", "--out"]
    with pytest.raises(SystemExit) as end:
        main([*words, str(out), *TASK, *TINY])
    assert end.value.code in (0, None)
    return out


@pytest.fixture
def probed(probed_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(probed_once, tmp_path / "all"))


def again(cli: CLI, out: Path, *more: object, model: str = "gru") -> Ending:
    """The command that made `probed`."""
    words = [*NAMED, "--minutes", 1, "--seeds", "0,3", "--sequences", 4, "--out", out]
    return cli("probe", model, *words, *TASK, *TINY, *more)


def test_a_run_is_told_by_load_and_by_distance(cli: CLI, learned: Path) -> None:
    ended = cli("probe", learned, "--sequences", 6)
    assert (ended.code, ended.err) == (0, "")
    assert "gru: 72 B of memory a session, reach unbounded" in " ".join(ended.out.split())
    every, across = ended.out.split("Answers across a cut")
    for row in ROWS:
        assert row in every
        assert row in across
    assert every.count("distance 64") == across.count("distance 64") == 1
    assert "Sequences are cut every 4, 8, 16 tokens." in across
    assert not (learned / "probe.svg").exists()


def test_a_run_in_figures_and_pictures(cli: CLI, learned: Path, tmp_path: Path) -> None:
    ended = cli("probe", learned, "--sequences", 6, "--chunk", 5, "--json", "--out", tmp_path / "a.svg")
    told = ended.answer
    assert ended.err == f"look at {tmp_path / 'a.svg'}\n"
    about = {"run": str(learned), "model": "gru", "reach_tokens": None, "bytes_per_session": 72}
    assert {name: told[name] for name in about} == about
    assert (told["task"], told["rules"]["pairs"]) == ("multi-query-recall", 2)
    assert [trial["chunk"] for trial in told["trials"]] == [5, 5, 5]
    assert [trial["all"]["n_answers"] for trial in told["trials"]] == [12, 24, 42]
    for trial in told["trials"]:
        rows = trial["by_distance"]
        for which in ("all", "across"):
            assert sum(row[which]["n_answers"] for row in rows) == trial[which]["n_answers"]
        assert 0 < trial["across"]["n_answers"] <= trial["all"]["n_answers"]
    picture = (tmp_path / "a.svg").read_text()
    assert [picture.count(text) for text in ('<svg class="chart"', 'class="line carried"')] == [0, 3]
    assert all(row in picture for row in ROWS)
    cli("probe", learned, "--sequences", 6, "--out", tmp_path / "b.html")
    page = (tmp_path / "b.html").read_text()
    assert page.count('class="line other"') == 3
    assert "another sequence&#39;s memory" in page
    assert "72 B of memory a session" in page


def test_another_size_can_be_asked_for(cli: CLI, learned: Path) -> None:
    told = cli("probe", learned, "--sequences", 2, "--json", "--set", "pairs=1").answer
    assert told["trials"][0]["sizes"] == {"length": 16, "pairs": 1}


def test_a_model_is_measured_beside_its_controls(cli: CLI, probed: Path) -> None:
    ended = again(cli, probed)
    assert ended.code == 0
    assert "6 trainings of 1 min each" in ended.err
    said = " ".join(ended.out.split())
    for words in (
        "multi-query-recall, 4 sequences of each size, answers across a cut",
        "gru: 72 B of memory a session, reach unbounded",
        "window: transformer with context=3, 392 B of memory a session, reach 4 tokens",
        "full: transformer with context=64, 8.0 KiB of memory a session, reach 126 tokens",
    ):
        assert words in said
    assert all(row in ended.out for row in ROWS)
    (head,) = [line.split() for line in ended.out.splitlines() if "chance" in line]
    assert head == ["answers", "carried", "reset", "other", "window", "full", "chance"]
    assert all(line.count("±") == 5 for line in ended.out.splitlines() if "length" in line)


def test_a_model_in_figures(cli: CLI, probed: Path) -> None:
    told = again(cli, probed, "--json").answer
    assert (told["model"], told["minutes"]) == ("gru", 1.0)
    (task,) = told["tasks"]
    assert (task["task"], task["rules"]["symbols"]) == ("multi-query-recall", 16)
    measured: list[dict[str, Any]] = task["measured"]
    named = [(one["name"], one["seed"], one["model"]) for one in measured]
    three = [("gru", "gru"), ("window", "transformer"), ("full", "transformer")]
    assert named == [(name, seed, model) for seed in (0, 3) for name, model in three]
    assert [one["reach_tokens"] for one in measured[:3]] == [None, 4, 126]
    answers = {one["trials"][0]["across"]["n_answers"] for one in measured}
    assert len(answers) == 1
    for one in measured:
        made = json.loads((Path(one["run"]) / "config.json").read_text())["model"]
        assert (made["d_model"], made["n_layers"], made["vocab_size"]) == (8, 2, 16)
        how = json.loads((Path(one["run"]) / "train.json").read_text())["training"]
        assert (how["seed"], how["minutes"], how["lanes"], how["lr"]) == (one["seed"], 1.0, 2, 3e-3)


def test_what_is_trained_is_not_trained_again_and_what_is_missing_is(cli: CLI, probed: Path) -> None:
    task = probed / "multi-query-recall"
    kept = {path: path.stat().st_mtime_ns for path in task.rglob("step-00000002/*")}
    shutil.rmtree(task / "window-3")
    assert again(cli, probed).code == 0
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items() if "window-3" not in path.parts)
    assert list_checkpoints(task / "window-3")


def interrupted(*given: object, **more: object) -> int:
    """A training that Ctrl-C ends."""
    del given, more
    return 130


def test_ctrl_c_keeps_what_there_is(cli: CLI, probed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(probed / "multi-query-recall" / "full-3")
    monkeypatch.setattr(controls, "run_training", interrupted)
    ended = again(cli, probed)
    assert (ended.code, ended.out) == (130, "")
    assert ended.err.splitlines()[-1] == "the same everlong probe command goes on with this one and the rest"


def test_other_settings_need_another_folder(cli: CLI, probed: Path) -> None:
    again(cli, probed, "--set", "lr=0.1").require_refusal("has training setting lr=0.003, now it is 0.1")
    again(cli, probed, "--set", "n_heads=2").require_refusal("no setting 'n_heads'")


def test_what_cannot_be_probed_is_refused(cli: CLI, learned: Path, tmp_path: Path) -> None:
    cli("probe", "grus").require_refusal("grus is no architecture, and there is no folder grus. Did you mean 'gru'?")
    cli("probe", learned, "--task", "copy", "--seeds", 1).require_refusal(
        "learned already and has no use for --task, --s"
    )
    cli("probe", learned, "--prompt", "a").require_refusal("no use for --prompt: its answers are counted")
    cli("probe", learned, "--examples", 2, "--seed", 1).require_refusal("no use for --examples, --seed")
    cli("probe", learned, "--sequences", 1).require_refusal("sequences=1 is too small for the three readings")
    assert cli("probe", learned, "--chunk", 0).code == 2
    cli("probe", learned, "--set", "symbols=64").require_refusal("task=multi-query-recall has 64 tokens")
    cli("probe", learned, "--out", tmp_path / "a.png").require_refusal("a.png is no chart that can be drawn")
    cli("probe", learned, "--out", tmp_path / "no" / "a.svg", "--set", "pairs=99").require_refusal("cannot write")
    (tmp_path / "file").write_text("")
    cli("probe", tmp_path / "file").require_refusal("file")
    cli("probe", tmp_path).require_refusal("is not a run")


def test_a_model_that_cannot_be_probed_is_refused_before_anything_is_trained(cli: CLI, tmp_path: Path) -> None:
    out = tmp_path / "all"
    words = ["--minutes", 1, "--out", out]
    cli("probe", "gru").require_refusal("--minutes and --out is missing: gru and its controls are trained first")
    cli("probe", "gru", "--out", out).require_refusal(
        "--minutes is missing", "everlong probe gru --minutes 5 --out DIR"
    )
    cli("probe", "gru", *words, "--prompt", "a", "--limit", 3).require_refusal(
        "gru is a model, which is trained first and asked then; that has no use for --prompt, --limit."
    )
    cli("probe", "gru", *words, "--task", "multi-query").require_refusal("'multi-query' is no generated task. Did you")
    cli("probe", "gru", *words, "--task", "copy").require_refusal(
        "'copy' is not of tokens, and has no control", "Tasks that a model can be probed on: multi-query-recall"
    )
    cli("probe", "gru", *words, "--task", "").require_refusal("'' is no generated task")
    cli("probe", "gru", *words, "--seeds", "0,a").require_refusal("--seeds 0,a has 'a' for a seed")
    cli("probe", "bert", *words).require_refusal("bert cannot learn task=multi-query-recall, which is for")
    cli("probe", "encoder-decoder", *words).require_refusal("encoder-decoder cannot learn task=multi-query-recall")
    cli("probe", "gru", *words, "--sequences", 1).require_refusal("sequences=1 is too small for the three readings")
    assert cli("probe", "gru", *words, "--chunk", 0).code == 2
    cli("probe", "gru", *words, "--set", "mem_len=3").require_refusal("no setting 'mem_len'")
    cli("probe", "gru", *words, "--set", "pairs=30").require_refusal("pairs=30 need a length of 120 or more")
    cli("probe", "gru", *words, "--set", "seed=3").require_refusal("'seed' is given twice")
    cli("probe", "gru", *words, "--set", "vocab_size=3").require_refusal("vocab_size is that of the tokenizer")
    assert cli("probe", "gru", "--minutes", 0, "--out", out).code == 2
    assert not out.exists()


def test_the_controls_are_sized_by_the_training_and_by_the_longest_sequence(tmp_path: Path) -> None:
    """Induction heads are first measured at a quarter of the length of training."""
    given = {"length": 64, "n_layers": 4}
    _, window, full = contestants("gru", "induction-heads", 0, given, minutes=1.0, out=tmp_path)
    assert TransformerConfig(vocab_size=16, **window.recipe.fields).reach == 64 // 4
    assert full.recipe.fields["context"] == 16 * 64


def test_standard_tasks_are_small(tmp_path: Path) -> None:
    rules = [contestants("gru", task, 0, {}, minutes=1.0, out=tmp_path)[0].recipe.options for task in STANDARD]
    assert [(one.name, one.largest["length"]) for one in rules if isinstance(one, TokenRules)] == [
        ("multi-query-recall", 32),
        ("passkey", 64),
    ]


def test_a_field_of_one_task_is_no_field_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    class Longer(Copy):  # type: ignore[misc]
        mem_len: int = 3
        needles: int = 3

    monkeypatch.setitem(RULES, "longer", Longer)
    given = {"task.needles": 1, "needles": 2, "pairs": 3, "lr": 4, "mem_len": 5, "bits": 6}

    def kept(task: str, *tasks: str, model: str = "gru") -> set[str]:
        return {*changes_for(task, given, tasks=[task, *tasks], architecture=model)}

    assert kept("multi-query-recall") == given.keys()
    assert kept("multi-query-recall", "longer") == {"pairs", "lr"}
    assert kept("multi-query-recall", "longer", model="transformer-xl") == {"pairs", "lr", "mem_len"}
    assert kept("longer", "multi-query-recall") == given.keys() - {"pairs"}


def test_seeds_and_tasks_are_named_once() -> None:
    assert controls.named_seeds("1, 0,1") == [1, 0]
    assert controls.named_tasks(" multi-query-recall,multi-query-recall") == ["multi-query-recall"]
    assert controls.named_tasks(None) == list(STANDARD)
    with pytest.raises(ConfigError, match=r"for a seed\. Write numbers from 0 on"):
        controls.named_seeds("-1")
