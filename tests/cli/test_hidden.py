"""What is hidden in noise, on the command line: every such task is learned, and measured by length and depth."""

from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import CLI

SIZES: dict[str, dict[str, Any]] = {
    "passkey": {"length": 40},
    "needle": {"length": 80, "n_keys": 2, "background": "needles"},
    "variable-tracking": {"length": 70, "chains": 2, "hops": 1},
    "listops": {"length": 16},
}
MARKS = {"passkey": "depth", "needle": "depth", "variable-tracking": "assignments", "listops": "nesting"}


def words(out: Path, task: str, **changes: object) -> list[object]:
    fields = {f"task.{name}": size for name, size in {**SIZES[task], **changes}.items()}
    fields |= {"d_model": 8, "n_layers": 1, "eval_sequences": 3}
    sizes = [word for name, size in fields.items() for word in ("--set", f"{name}={size}")]
    return ["train", "gru", "--task", task, "--out", out, "--steps", 2, "--lanes", 2, *sizes]


@pytest.mark.parametrize("task", SIZES)
def test_accuracy_by_length_and_by_mark(cli: CLI, tmp_path: Path, task: str) -> None:
    assert cli(*words(tmp_path / "run", task)).code == 0
    found = cli("eval", tmp_path / "run", "--sequences", 4, "--json").answer
    length, mark = SIZES[task]["length"], MARKS[task]
    times = (1, 2, 4) if task == "listops" else (1, 2, 4, 8, 16)
    assert [trial["sizes"] for trial in found["trials"]] == [None, *({"length": n * length} for n in times)]
    for trial in found["trials"]:
        assert sum(row["n_answers"] for row in trial[f"by_{mark}"]) == trial["n_answers"]
        assert 0 <= trial["wrong_answers"] <= 1
    told = cli("eval", tmp_path / "run", "--sequences", 4).out
    assert f"Accuracy by {mark}" in told
    assert "length" in told


@pytest.mark.parametrize(
    ("task", "field", "value", "said"),
    [
        ("passkey", "length", 36, "takes 37 tokens; give length=37 or more"),
        ("passkey", "depth", 50, "no setting 'task.depth'"),
        ("needle", "n_queries", 3, "n_queries=3 keys cannot be asked for of n_keys=2"),
        ("variable-tracking", "symbols", 3, "symbols=3 are too few"),
        ("listops", "max_depth", 1, "max_depth = 1 does not fit"),
    ],
)
def test_what_does_not_fit_is_refused(cli: CLI, tmp_path: Path, task: str, field: str, value: int, said: str) -> None:
    cli(*words(tmp_path / "run", task, **{field: value})).require_refusal(said)
    assert not (tmp_path / "run").exists()
