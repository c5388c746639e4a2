"""How a run is going: a bar where a person watches, plain lines where a log does."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from everlong.cli.output import say
from everlong.wording import bytes_text, duration_text

if TYPE_CHECKING:
    from everlong.compare.turns import Standing
    from everlong.train import Measurement, Progress
    from everlong.train.task import Unit

LINE_EVERY = 10.0
"""Seconds between two lines of a log, where nothing else calls for one."""

Report = Callable[["Progress"], None]
TurnReport = Callable[["Standing", "Progress"], None]


class _Clock(Protocol):
    def __call__(self) -> float: ...


@contextmanager
def reporting() -> Generator[Report]:
    """Something that takes a run's progress and shows it on standard error."""
    with _bar() as show:
        if show is None:
            yield line_reporter(clock=time.monotonic)
        else:
            yield lambda now: show(_done(now), brief(now), milestone(now))


@contextmanager
def reporting_turns() -> Generator[TurnReport]:
    """The same for many runs, one after another: one bar, or lines that say which run it is."""
    with _bar() as show:
        if show is None:
            yield line_turns(clock=time.monotonic)
            return

        def show_turn(at: "Standing", now: "Progress") -> None:
            found = now.measured and f"{turn(at)} · {measurement(now.measured, now.per)} after step {now.step:,}"
            show((at.number - 1 + _done(now)) / at.total, brief_turn(at, now), found or "")

        yield show_turn


@contextmanager
def _bar() -> Generator[Callable[[float, str, str], None] | None]:
    """Something that moves a bar to how much is done, with words beside it, and leaves a remark above it, if there is
    one; ``None`` where nobody watches."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(bar_width=None), TextColumn("{task.description}"))
    with Bar(*columns, console=console, transient=True, expand=True) as bar:
        task = bar.add_task("", total=1.0)

        def show(done: float, words: str, remark: str) -> None:
            bar.update(task, completed=done, description=words)
            if remark:
                bar.console.print(remark, highlight=False)

        yield show


def _done(now: "Progress") -> float:
    """How much of a run is over."""
    whole = now.seconds + now.seconds_left
    return now.seconds / whole if whole else 1.0


def line_turns(*, clock: _Clock) -> TurnReport:
    """A reporter of many runs that writes a line at every measurement, and otherwise every ten seconds."""
    last = float("-inf")

    def show(at: "Standing", now: "Progress") -> None:
        nonlocal last
        if now.measured is not None or clock() - last >= LINE_EVERY:
            last = clock()
            remark = f" · {measurement(now.measured, now.per)}" if now.measured else ""
            say(f"{turn(at)} · {describe(now)}{remark}{turns_left(at, now)}")

    return show


def turn(at: "Standing") -> str:
    """Which run of how many it is."""
    return f"{at.number}/{at.total} {at.turn.name}"


def brief_turn(at: "Standing", now: "Progress") -> str:
    """Which run it is and how it is going, beside a bar: the time left of all runs, or of this one, must still show."""
    left = duration_text(now.seconds_left + at.seconds_after)
    return f"{turn(at)} · {now.bits:.3f} bits/{now.per.name} · {now.tokens_per_second:,.0f} tok/s · {left} left"


def turns_left(at: "Standing", now: "Progress") -> str:
    """The time of all runs together that is left, where time limits them."""
    return f" · {duration_text(now.seconds_left + at.seconds_after)} left in all" if at.seconds_after else ""


def line_reporter(*, clock: _Clock) -> Report:
    """A reporter that writes a line at every measurement and checkpoint, and otherwise every ten seconds."""
    last = float("-inf")

    def show(now: "Progress") -> None:
        nonlocal last
        remark = milestone(now)
        if remark or clock() - last >= LINE_EVERY:
            last = clock()
            say(describe(now) + (f" · {remark}" if remark else ""))

    return show


def describe(now: "Progress") -> str:
    """Loss, bits per byte, speed, memory and time left, in one line."""
    step = f"{now.step:,}/{now.steps:,}" if now.steps else f"{now.step:,}"
    memory = f"memory {bytes_text(now.memory_bytes)} · " if now.memory_bytes else ""
    return (
        f"step {step} · loss {now.loss:.3f} · {now.bits:.3f} bits/{now.per.name} · {now.tokens_per_second:,.0f} "
        f"tokens/s · {memory}{duration_text(now.seconds_left)} left"
    )


def brief(now: "Progress") -> str:
    """The same in fewer letters: beside a bar, in a terminal of 80 columns, the time left must still show."""
    step = f"{now.step:,}/{now.steps:,}" if now.steps else f"{now.step:,}"
    memory = f"{bytes_text(now.memory_bytes)} · " if now.memory_bytes else ""
    return (
        f"{step} · loss {now.loss:.3f} · {now.bits:.3f} bits/{now.per.name} · {now.tokens_per_second:,.0f} tok/s "
        f"· {memory}{duration_text(now.seconds_left)} left"
    )


def milestone(now: "Progress") -> str:
    """What was measured or saved after this update, if anything."""
    parts: list[str] = []
    if now.measured is not None:
        parts.append(f"{measurement(now.measured, now.per)} after step {now.step:,}")
    if now.saved is not None:
        parts.append(f"saved {now.saved}")
    return " · ".join(parts)


def measurement(found: "Measurement", per: "Unit") -> str:
    """What was measured, in a few words."""
    remark = f", {found.remark}," if found.remark else ""
    return f"{per.unseen} {found.bits:.4f} bits/{per.name}{remark}"


@contextmanager
def counting(what: str, total: int) -> Generator[Callable[[int], None]]:
    """Something that takes how many have been read so far and shows it, where a person watches."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    with Progress(
        *Progress.get_default_columns()[:2],
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)
