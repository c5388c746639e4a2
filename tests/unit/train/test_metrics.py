import json
import math
import sys
from pathlib import Path

import pytest

from everlong.errors import ConfigError, RunError
from everlong.train.distribution import World
from everlong.train.metrics import METRICS, JsonLines, TensorBoard, kept_lines, open_trackers


def write(folder: Path, *, begin: int, end: int) -> None:
    lines = JsonLines(folder, step=begin)
    for step in range(begin + 1, end + 1):
        lines.write({"step": step, "loss": 1 / step})
    lines.close()


def steps(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / METRICS).read_text().splitlines()]


def test_each_update_is_a_line_that_is_there_at_once(tmp_path: Path) -> None:
    lines = JsonLines(tmp_path, step=0)
    lines.write({"step": 1, "loss": 2.5})
    assert (tmp_path / METRICS).read_text() == '{"step": 1, "loss": 2.5}\n'
    lines.close()


def test_infinity_becomes_null(tmp_path: Path) -> None:
    lines = JsonLines(tmp_path, step=0)
    lines.write({"step": 1, "gradient_norm": math.inf})
    lines.close()
    assert json.loads((tmp_path / METRICS).read_text())["gradient_norm"] is None


def test_a_resumed_run_takes_back_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    write(tmp_path, begin=0, end=5)
    write(tmp_path, begin=3, end=4)
    assert steps(tmp_path) == [1, 2, 3, 4]


@pytest.mark.parametrize("torn", ['{"step": 3, "lo', '{"step": 3}', "[3]\n", "nonsense\n", '{"loss": 3}\n'])
def test_a_torn_last_line_is_dropped(tmp_path: Path, torn: str) -> None:
    (tmp_path / METRICS).write_text('{"step": 1}\n{"step": 2}\n' + torn)
    assert kept_lines(tmp_path / METRICS, step=9) == [b'{"step": 1}\n', b'{"step": 2}\n']


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    lines = JsonLines(tmp_path, step=0)
    lines.close()
    with Path("/dev/full").open("ab", buffering=0) as full:
        lines._file = full  # pyright: ignore
        with pytest.raises(RunError, match=r"the disk is full: .*metrics\.jsonl"):
            lines.write({"step": 1})


def test_only_rank_0_writes(tmp_path: Path) -> None:
    assert open_trackers(tmp_path, "tensorboard", World(1, 2), step=0) == []
    assert not list(tmp_path.iterdir())


def test_tensorboard_has_the_same_figures(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for tracker in open_trackers(tmp_path, "tensorboard", World(), step=0):
        tracker.write({"step": 3, "loss": 0.5})
        tracker.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(3, 0.5)]


def test_without_tensorboard_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r'pip install "everlong\[track\]"'):
        TensorBoard(tmp_path, step=0)
