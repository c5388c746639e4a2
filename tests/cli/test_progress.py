"""What a run shows while it goes on."""

from pathlib import Path

import pytest

from everlong.cli.paths import repeat_options
from everlong.cli.progress import brief, describe, line_reporter
from everlong.train import Measurement, Progress
from everlong.wording import bytes_text, duration_text


def now(step: int, *, valid: float | None = None, saved: Path | None = None) -> Progress:
    return Progress(
        step=step,
        steps=1000,
        loss=1.5,
        bits=2.25,
        tokens_per_second=12345.6,
        memory_bytes=3 << 20,
        seconds=10.0,
        seconds_left=3700.0,
        learning_rate=1e-3,
        measured=None if valid is None else Measurement(bits=valid),
        saved=saved,
    )


def test_a_line_has_everything() -> None:
    expected = "step 7/1,000 · loss 1.500 · 2.250 bits/byte · 12,346 tokens/s · memory 3.0 MiB · 1:01:40 left"
    assert describe(now(7)) == expected


def test_a_bar_and_its_words_fit_a_narrow_terminal() -> None:
    assert brief(now(7)) == "7/1,000 · loss 1.500 · 2.250 bits/byte · 12,346 tok/s · 3.0 MiB · 1:01:40 left"
    assert len(brief(now(7))) < 80


def test_a_log_has_a_line_now_and_then_and_for_every_milestone(capsys: pytest.CaptureFixture[str]) -> None:
    time = [0.0]
    show = line_reporter(clock=lambda: time[0])
    for step in range(1, 41):
        time[0] = float(step)
        show(now(step, valid=2.0 if step == 5 else None, saved=Path("here") if step == 5 else None))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("/")[0] for line in lines] == ["step 1", "step 5", "step 15", "step 25", "step 35"]
    assert lines[1].endswith("held-out text 2.0000 bits/byte after step 5 · saved here")


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 40, "5.0 TiB")])
def test_bytes_are_written_in_their_largest_unit(size: int, text: str) -> None:
    assert bytes_text(size) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (3599, "59:59"), (86400, "24:00:00")])
def test_durations_are_clock_times(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("m --data a b --out c", "m --data a --data b --out c"),
        ("m --data a --data b c", "m --data a --data b --data c"),
        ("--data a b --valid c d -- e", "--data a --data b --valid c --valid d -- e"),
        ("--data --out c", "--data --out c"),
        ("--data=a b", "--data=a b"),
    ],
)
def test_options_are_repeated_for_every_word(words: str, expected: str) -> None:
    assert repeat_options(words.split(), ("--data", "--valid")) == expected.split()
