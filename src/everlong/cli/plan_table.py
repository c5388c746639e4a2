"""The tables of ``everlong plan``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from everlong.wording import bytes_text, duration_text

if TYPE_CHECKING:
    from rich.table import Table

    from everlong.plan import Forecast
    from everlong.plan.advice import Change


def print_plan(forecast: "Forecast", rows: "Sequence[Forecast]", advice: "Sequence[Change]") -> None:
    """What it costs, what that depends on, and what would cost less."""
    from rich.console import Console

    console = Console()
    console.print(_figures(forecast))
    console.print(_by_length(rows))
    console.print(_advice(forecast, advice))


def seconds_text(seconds: float) -> str:
    """A time, short or long.

    >>> seconds_text(0.0021)
    '2.1 ms'
    """
    if seconds < 1:
        return f"{1e3 * seconds:.2g} ms" if seconds < 0.1 else f"{1e3 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else duration_text(seconds)


def _table(*columns: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=not number)
    return table


def _figures(forecast: "Forecast") -> "Table":
    from everlong.plan.predictor import shares

    setup, there, step = forecast.setup, forecast.resident, forecast.step
    table = _table(f"{setup.architecture}, {setup.training.lanes} lanes of {setup.chunk:,} tokens", "predicted")
    table.add_row("operations of a step", f"{step.operations / 1e9:,.2f} G")
    for part, share in shares(step).items():
        table.add_row(f"  {part}", f"{share:.0%}")
    table.add_row("time of a step", seconds_text(forecast.step_seconds))
    if setup.kind == "causal":
        table.add_row(f"time to learn from {setup.length:,} tokens", seconds_text(forecast.epoch_seconds))
    table.add_row("weights", bytes_text(there.weights))
    table.add_row("optimiser", bytes_text(there.optimizer))
    table.add_row("activations kept for the backward pass", bytes_text(round(step.kept)))
    table.add_row("peak of a step, gradients included", bytes_text(round(step.peak)))
    table.add_row("memory of training in all", bytes_text(round(forecast.memory)))
    if forecast.token is not None and forecast.token_seconds is not None:
        table.add_row("operations of a written token", f"{forecast.token.operations / 1e6:,.2f} M")
        table.add_row("time of a written token", seconds_text(forecast.token_seconds))
        table.add_row(f"time to write {setup.length:,} tokens", seconds_text(forecast.token_seconds * setup.length))
        table.add_row("memory of a session", bytes_text(there.session))
    return table


def _by_length(rows: "Sequence[Forecast]") -> "Table":
    table = _table("length", "time to learn", "memory of training", "time to write", "memory of a session")
    for row in rows:
        seconds = row.token_seconds
        table.add_row(
            f"{row.setup.length:,}",
            seconds_text(row.epoch_seconds),
            bytes_text(round(row.memory)),
            "–" if seconds is None else seconds_text(seconds * row.setup.length),
            bytes_text(row.resident.session) if row.resident.session else "–",
        )
    return table


def _advice(forecast: "Forecast", advice: "Sequence[Change]") -> "Table":
    table = _table("change", "time to learn", "memory of training", "time of a token", "memory of a session")
    for change in advice:
        other = change.forecast
        table.add_row(
            f"{change.name} {change.before} → {change.after}",
            f"{other.epoch_seconds / forecast.epoch_seconds - 1:+.0%}",
            f"{other.memory / forecast.memory - 1:+.0%}",
            _relative(other.token_seconds, forecast.token_seconds),
            _relative(other.resident.session, forecast.resident.session),
        )
    return table


def _relative(after: float | None, before: float | None) -> str:
    return f"{after / before - 1:+.0%}" if after and before else "–"
